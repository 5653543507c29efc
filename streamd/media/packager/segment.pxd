cimport cython
from libc.stdint cimport int64_t


@cython.final
cdef class Segment:
    cdef readonly int64_t msn
    cdef readonly object header
    cdef readonly int64_t first_part_number
    cdef readonly int64_t timescale
    cdef readonly int64_t program_date_time_ms
    cdef readonly bint is_discontinuous
    cdef readonly int64_t duration_ticks
    cdef readonly int64_t size_bytes
    cdef readonly int64_t held_bytes
    cdef readonly list chunks
    cdef readonly list listed_parts
    cdef public int64_t expires_us

    @cython.locals(content=object, held_bytes=Py_ssize_t)
    cpdef Py_ssize_t add(self, chunk) except -1
