cimport cython
from libc.stdint cimport int64_t

from streamd.media.packet cimport MediaPacket, Sample, new_sample

cdef int64_t _JUMP_MS_MAX
cdef int64_t _STEP_BACK_MS_MAX
cdef int64_t _COMPOSITION_MS_MAX
cdef int64_t _WIRE_TIMESCALE
cdef int64_t _DROPPED


@cython.final
cdef class _TrackClock:
    cdef public bint is_audio
    cdef public int64_t timescale
    cdef public int64_t frame_ticks
    cdef public int64_t drift_ticks_max
    cdef public int64_t step_ticks_min
    cdef public int drifted_frames
    cdef public int64_t offset_ms
    cdef public int64_t last_ms
    cdef public bint has_begun
    cdef public int64_t interval_ms
    cdef public int64_t next_ticks
    cdef public bint is_counting

    cpdef object follow(self, int64_t time_ms)

    cpdef bint has_drifted(self, int64_t drift_ticks) except -1


@cython.final
cdef class Timeline:
    cdef readonly object repairs
    cdef readonly int breaks
    cdef readonly int64_t newest_ms
    cdef dict _tracks
    cdef readonly object offset_ms
    cdef bint _offsets_differ
    cdef object _broke_ms
    cdef int64_t _stepped_from_ms
    cdef int64_t _stepped_to_ms
    cdef int64_t _stepped_until_ms

    @cython.locals(
        clock=_TrackClock, time_ms=int64_t, counted=int64_t, composition_ms=int64_t, dts_ticks=int64_t,
        pts_ticks=int64_t,
    )
    cpdef Sample place(self, MediaPacket packet)

    @cython.locals(expected_ms=int64_t, nearest=int64_t, time_ms=int64_t, steps_back_alone=bint)
    cdef int64_t _map(self, _TrackClock clock, int64_t wire_ms) except? -1

    cdef int64_t _begin(self, _TrackClock clock, int64_t wire_ms) except? -1

    cdef object _move(self, _TrackClock clock, int64_t offset_ms)

    @cython.locals(wire_ticks=int64_t, ticks=int64_t, drift_ticks=int64_t)
    cdef int64_t _count_audio(self, _TrackClock clock, int64_t time_ms) except? -1
