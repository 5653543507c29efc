cimport cython
from libc.stdint cimport int64_t

from streamd.services.live.meter cimport StreamMeter
from streamd.services.live.picture_looks cimport PictureLooks
from streamd.media.packet cimport MediaPacket, Sample
from streamd.media.timeline cimport Timeline
from streamd.media.packager.ladder cimport Ladder


cdef class Packaging:
    cdef readonly bint is_continuing
    cdef readonly object repairs
    cdef readonly object irregularities
    cdef object _outputs
    cdef object _options
    cdef object _allowances
    cdef object _clock
    cdef object _metrics
    cdef StreamMeter _meter
    cdef object _timing
    cdef object _form
    cdef bint _begins_anew
    cdef public object _timeline
    cdef object _starts_at
    cdef int64_t _starts_ms
    cdef object _offset_ms
    cdef tuple _variants
    cdef public object _ladder
    cdef dict _direct_ids
    cdef int _video_track_id
    cdef PictureLooks _looks
    cdef int64_t _ladder_began_ms
    cdef int _breaks_met
    cdef object _next_sequence_number
    cdef object _finished_media_ms

    cpdef object take_tags(self, tags)

    @cython.locals(
        timeline=Timeline, ladder=Ladder, samples=list, may_end_segment=bint, packet=MediaPacket, sample=Sample,
        video_track_id=int, cut=Py_ssize_t, meter=StreamMeter, looks=PictureLooks,
    )
    cpdef object take_packets(self, packets)

    @cython.locals(chunks=list)
    cdef bint _cut(self, samples, Ladder ladder) except -1

    cdef bint _may_begin_anew(self, Timeline timeline, MediaPacket packet) except -1

    cdef object _direct_samples(self, samples)

    cdef object _emit(self, chunks, ladder)
