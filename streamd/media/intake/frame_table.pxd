cimport cython

from streamd.formats.flv.frame cimport FrameHead, composition_time, read_composition_time
from streamd.formats.flv.tag cimport FlvTag
from streamd.formats.payload cimport Payload, first_bytes
from streamd.media.intake.missing cimport Presence

cdef int _COMPOSITION_TIME_MAX_MS


@cython.final
cdef class UsualHead:
    cdef bytes first
    cdef Presence presence
    cdef FrameHead head


@cython.final
cdef class FrameTable:
    cdef dict _heads
    cdef tuple _sizes
    cdef list _usual

    @cython.locals(frames=Py_ssize_t, tag=FlvTag, presence=Presence)
    cpdef Py_ssize_t count_frames(self, tags) except -1

    @cython.locals(found=Payload, usual=UsualHead)
    cpdef Presence look(self, FlvTag tag)

    @cython.locals(head=FrameHead, composition_time_ms=int)
    cdef Presence _note(self, FlvTag tag, UsualHead usual, Payload payload)

    @cython.locals(
        first=bytes, size=Py_ssize_t, known=tuple, presence=Presence, head=FrameHead, composition_time_ms=int,
    )
    cdef Presence _look_up(self, FlvTag tag)
