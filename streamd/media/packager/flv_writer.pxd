cimport cython

from streamd.formats.flv.frame cimport FrameHead
from streamd.formats.flv.tag cimport FlvTag
from streamd.formats.payload cimport first_bytes

cdef int _VIDEO
cdef int _FRAME_TYPE
cdef int _KEYFRAME


@cython.final
cdef class FlvWriter:
    cdef readonly bytes head
    cdef readonly bint has_video
    cdef bint _has_audio
    cdef bytes _headers
    cdef str _codec
    cdef int _length_bytes
    cdef object _starts
    cdef object _plain
    cdef object _messages

    cpdef object head_after(self, FlvWriter previous)

    cpdef bint is_video(self, FlvTag tag) except -1

    @cython.locals(head=FrameHead)
    cpdef bint is_keyframe(self, FlvTag tag) except -1

    @cython.locals(index=Py_ssize_t, last=Py_ssize_t)
    cpdef Py_ssize_t last_keyframe(self, tags) except? -1

    @cython.locals(tag=FlvTag, total=Py_ssize_t)
    cpdef Py_ssize_t payload_bytes(self, tags) except -1
