cimport cython

from streamd.formats.flv.frame cimport FrameHead, read_composition_time
from streamd.formats.flv.tag cimport FlvTag
from streamd.formats.payload cimport first_bytes
from streamd.media.intake.missing cimport Presence

cdef int _COMPOSITION_TIME_MAX_MS


@cython.final
cdef class FrameTable:
    cdef dict _heads
    cdef tuple _sizes

    @cython.locals(frames=Py_ssize_t, tag=FlvTag, presence=Presence)
    cpdef Py_ssize_t count_frames(self, tags) except -1

    @cython.locals(
        first=bytes, size=Py_ssize_t, known=tuple, presence=Presence, head=FrameHead, composition_time_ms=int,
    )
    cpdef Presence look(self, FlvTag tag)
