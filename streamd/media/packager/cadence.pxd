cimport cython
from libc.stdint cimport int64_t

from streamd.media.packager.frame_interval cimport FrameInterval

cdef int64_t _NEVER


@cython.final
cdef class Cadence:
    cdef readonly bint has_part
    cdef readonly int64_t position
    cdef readonly int64_t part_ticks
    cdef readonly bint starts_segment
    cdef FrameInterval _interval
    cdef object _starts
    cdef bint _is_audio_only
    cdef int64_t _scale
    cdef int64_t _wire_ticks
    cdef int64_t _rounding_ticks
    cdef int64_t _segment_start
    cdef bint _is_segment_off_key
    cdef int64_t _opening_end
    cdef bint _follows_opening
    cdef bint _has_keyframe
    cdef int64_t _keyframe_dts
    cdef int64_t _gop_ticks
    cdef int64_t _gop_before_ticks
    cdef int64_t _part_ticks_min
    cdef int64_t _keyframe_part_ticks_min
    cdef int64_t _segment_ticks_limit
    cdef int64_t _segment_ticks_min
    cdef bint _may_cut_short

    cpdef object open(self, int64_t position)

    cpdef object leap(self, int64_t position)

    cpdef object start_segment(self)

    cpdef object start_with(self, int64_t pts)

    cpdef object note_keyframe(self, int64_t dts)

    @cython.locals(next_dts=int64_t)
    cpdef bint is_mid_part(self, int64_t dts) except -1

    cpdef bint is_opening_over(self, int64_t dts) except -1

    cpdef object end_opening(self)

    cpdef int64_t boundary(self, int64_t dts) except? -1

    @cython.locals(duration=int64_t)
    cpdef bint is_segment_due(self, int64_t boundary, int64_t pts) except -1

    cdef bint _is_long_enough(self, int64_t duration) except -1

    cpdef bint ends_before(self, int64_t dts) except -1

    cpdef bint ends_before_keyframe(self, int64_t dts) except -1

    @cython.locals(end=int64_t)
    cpdef int64_t end_with(self, int64_t dts, Py_ssize_t frames) except? -1

    @cython.locals(frames_ticks=int64_t, next_end=int64_t)
    cdef bint _is_full(self, int64_t end, Py_ssize_t frames) except -1

    cpdef bint is_overlong(self, int64_t end) except -1

    @cython.locals(nearest=int64_t, after=int64_t)
    cdef bint _is_audio_segment_due(self, int64_t boundary) except -1

    cdef int64_t _ticks(self, int64_t duration_ms) except? -1
