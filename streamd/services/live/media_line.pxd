cimport cython
from libc.stdint cimport int64_t

from streamd.media.intake.intake cimport Intake
from streamd.services.live.meter cimport StreamMeter
from streamd.media.packet cimport MediaPacket, Sample
from streamd.media.timeline cimport Timeline
from streamd.media.packager.ladder cimport Ladder


cdef class MediaLine:
    cdef object _sink
    cdef object _options
    cdef object _clock
    cdef object _metrics
    cdef StreamMeter _meter
    cdef object _probing
    cdef object _timing
    cdef bint _is_continuing
    cdef Intake _intake
    cdef object _demuxer_kind
    cdef public object _demuxer
    cdef int _demuxer_failures
    cdef bint _has_failed
    cdef public object _timeline
    cdef tuple _variants
    cdef public object _ladder
    cdef object _split_audio
    cdef dict _direct_ids
    cdef object _opening
    cdef double _probe_s
    cdef list _held
    cdef Py_ssize_t _held_bytes
    cdef object _epoch
    cdef int _video_track_id
    cdef int64_t _ladder_began_ms
    cdef int _breaks_met
    cdef object _next_sequence_number
    cdef bint _is_finished
    cdef object _finished_media_ms
    cdef list _left_out
    cdef set _told
    cdef readonly object repairs
    cdef readonly object irregularities
    cdef object _openings
    cdef object _silence
    cdef object _leaps
    cdef object _shares
    cdef Py_ssize_t _parts_left
    cdef tuple _parts_settled

    cpdef object receive(self, tags)

    @cython.locals(passed=Py_ssize_t)
    cdef object _receive(self, tags)

    cdef object _receive_others(self, tags, Py_ssize_t passed)

    cdef object _settle_parts(self)

    cdef object _demux(self, tags)

    @cython.locals(
        timeline=Timeline, ladder=Ladder, samples=list, may_end_segment=bint, packet=MediaPacket, sample=Sample,
        video_track_id=int, cut=Py_ssize_t,
    )
    cdef object _package(self, packets)

    @cython.locals(chunks=list)
    cdef bint _cut(self, samples, Ladder ladder) except -1

    cdef bint _may_begin_anew(self, Timeline timeline, MediaPacket packet) except -1

    cdef object _direct_tags(self, tags)

    cdef object _direct_samples(self, samples)

    cdef object _emit(self, name, chunk, ladder)
