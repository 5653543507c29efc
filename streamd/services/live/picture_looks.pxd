cimport cython
from libc.stdint cimport int64_t

from streamd.media.packet cimport MediaPacket


@cython.final
cdef class PictureLooks:
    cdef readonly int tracks
    cdef readonly object captions
    cdef tuple _forms
    cdef int64_t _frames
    cdef list _flagged_ms

    cpdef bint can_start(self, MediaPacket packet) except -1

    @cython.locals(track=Py_ssize_t, flagged_ms=int64_t)
    cpdef bint is_unflagged_start(self, MediaPacket packet) except -1

    @cython.locals(is_more=bint)
    cpdef bint finds_captions(self, MediaPacket packet) except -1
