cimport cython
cimport streamd.formats.memory_c as memory
from libc.stdint cimport int64_t

from streamd.formats.cmaf.fragment cimport ChunkHead
from streamd.media.packet cimport Sample
from streamd.media.packager.chunk cimport ChunkBytes, CmafChunk

cdef int64_t _NEVER
cdef Py_ssize_t _HELD_SAMPLE_BYTES


@cython.final
cdef class _TrackQueue:
    cdef public int track_id
    cdef public int64_t timescale
    cdef public int64_t frame_ticks
    cdef public list samples
    cdef public object next_ticks
    cdef public int64_t last_duration

    @cython.locals(samples=list, sample=Sample, count=Py_ssize_t)
    cdef Py_ssize_t count_before(self, int64_t end, int64_t scale) except -1

    @cython.locals(sample=Sample)
    cdef bint has_keyframe(self) except -1

    @cython.locals(samples=list, first=int64_t, last=int64_t, sample=Sample)
    cdef object take_counted(self, Py_ssize_t count, ChunkHead head)

    @cython.locals(samples=list, time=int64_t, index=Py_ssize_t, sample=Sample, following=Sample, next_time=int64_t)
    cdef object take(self, Py_ssize_t count, int64_t first, int64_t end, ChunkHead head)


@cython.final
cdef class _Cadence:
    cdef public int64_t _tolerance_ticks
    cdef public int64_t _interval_ticks_max
    cdef public int64_t _last
    cdef public bint has_begun
    cdef public int64_t end
    cdef public int64_t _anchor
    cdef public int64_t _steps
    cdef public int64_t interval

    cdef bint is_steady(self) except -1

    cdef int64_t interval_min(self) except -1

    @cython.locals(last=int64_t, step=int64_t)
    cdef object add(self, int64_t dts_ticks)


@cython.final
cdef class Segmenter:
    cdef readonly object timing
    cdef readonly bint has_opening
    cdef readonly object irregularities
    cdef readonly int64_t next_sequence_number
    cdef object _options
    cdef object _starts
    cdef bint _decides
    cdef _TrackQueue _lead
    cdef list _others
    cdef dict _queues
    cdef bint _is_audio_only
    cdef bytes _lead_config
    cdef int64_t _scale
    cdef int64_t _wire_ticks
    cdef int64_t _rounding_ticks
    cdef int64_t _lag_ticks_max
    cdef int64_t _bridge_ticks_max
    cdef _Cadence _cadence
    cdef object _lead_begin
    cdef bint _is_lead_paused
    cdef object _gop_frames_max
    cdef list _undecided
    cdef Py_ssize_t _room_bytes
    cdef ChunkHead _head
    cdef bint _has_part
    cdef int64_t _position
    cdef int64_t _segment_start
    cdef bint _starts_segment
    cdef bint _is_discontinuous
    cdef bint _is_segment_off_key
    cdef int64_t _opening_end
    cdef bint _follows_opening
    cdef int64_t _keyframe_dts
    cdef int64_t _gop_ticks
    cdef int64_t _part_ticks
    cdef int64_t _part_ticks_min
    cdef int64_t _segment_ticks_limit
    cdef int64_t _segment_ticks_min

    cpdef object push(self, Sample sample)

    @cython.locals(is_lead=bint, end=int64_t)
    cdef object _cut(self, Sample sample)

    @cython.locals(
        lead=_TrackQueue, dts=int64_t, interval=int64_t, next_dts=int64_t,
        chunks=list, boundary=int64_t, end=int64_t, is_opening_over=bint,
    )
    cdef object _cut_by_lead(self, Sample sample)

    @cython.locals(start=int64_t, queue=_TrackQueue, lead_end=int64_t, chunks=list)
    cdef object _cut_by_other(self, Sample sample)

    @cython.locals(frames_ticks=int64_t, next_end=int64_t)
    cdef bint _is_full(self, int64_t end) except -1

    @cython.locals(duration=int64_t)
    cdef bint _is_segment_due(self, int64_t boundary, int64_t pts) except -1

    @cython.locals(nearest=int64_t, after=int64_t)
    cdef bint _is_audio_segment_due(self, int64_t boundary) except -1

    cdef object _meet_gap(self, int64_t ticks)

    cdef object _start_segment(self)

    @cython.locals(
        lead=_TrackQueue, position=int64_t, is_independent=bint, starts_with_keyframe=bint, waiting=Py_ssize_t,
        queue=_TrackQueue, head=ChunkHead, count=Py_ssize_t, sample=Sample,
    )
    cdef CmafChunk _close(self, int64_t end, bint takes_all=*)

    @cython.locals(lead=_TrackQueue, first=int64_t, sample=Sample)
    cdef object _take_lead(self, int64_t end, ChunkHead head)

    cdef int64_t _ticks(self, int64_t duration_ms) except? -1

    cdef int64_t _lead_ticks(self, Sample sample) except? -1

    cdef object _open(self, int64_t position)

    cdef int64_t _open_position(self) except? -1

    @cython.locals(queue=_TrackQueue)
    cdef bint _has_samples(self) except -1

    @cython.locals(queue=_TrackQueue)
    cdef bint _has_samples_before(self, int64_t end) except -1
