cimport cython
from libc.stdint cimport int64_t

from streamd.media.packet cimport MediaPacket


@cython.final
cdef class PictureLooks:
    cdef readonly int tracks
    cdef readonly object captions
    cdef tuple _forms
    cdef int64_t _frames

    cpdef bint can_start(self, MediaPacket packet) except -1

    @cython.locals(is_more=bint)
    cpdef bint finds_captions(self, MediaPacket packet) except -1
