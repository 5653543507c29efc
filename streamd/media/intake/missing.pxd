cimport cython
from libc.stdint cimport int64_t


@cython.final
cdef class Presence:
    cdef public int kind
    cdef public object heard_ms
    cdef public bint is_new
    cdef public object missing_since_ms
    cdef public bint passes

    cpdef object note(self, int64_t timestamp_ms)
    cpdef object forget(self)


@cython.final
cdef class RollCall:
    cdef public dict presences
    cdef int64_t _at_ms

    @cython.locals(presence=Presence)
    cpdef object begin(self, keys, int64_t timestamp_ms)

    @cython.locals(presence=Presence)
    cpdef object note(self, key, int64_t timestamp_ms)

    cpdef object forget(self, key)

    @cython.locals(presence=Presence)
    cpdef bint has_leapt(self, int64_t timestamp_ms) except -1

    @cython.locals(presence=Presence)
    cpdef list find_missing(self, expected, int64_t timestamp_ms)

    @cython.locals(presence=Presence)
    cpdef object end(self, int64_t timestamp_ms)
