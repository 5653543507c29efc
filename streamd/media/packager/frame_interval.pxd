cimport cython
from libc.stdint cimport int64_t


@cython.final
cdef class FrameInterval:
    cdef int64_t _tolerance_ticks
    cdef int64_t _ticks_max
    cdef readonly bint has_begun
    cdef int64_t _last
    cdef readonly int64_t end
    cdef int64_t _anchor
    cdef int64_t _steps
    cdef readonly int64_t ticks

    cpdef bint is_steady(self) except -1

    cpdef int64_t ticks_min(self) except? -1

    @cython.locals(last=int64_t, step=int64_t)
    cpdef object add(self, int64_t dts_ticks)
