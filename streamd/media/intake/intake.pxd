cimport cython

from streamd.formats.flv.tag cimport FlvTag
from streamd.media.intake.frame_table cimport FrameTable
from streamd.media.intake.missing cimport RollCall

cdef int _ROLL_CALL_TAGS
cdef object _OPEN


@cython.final
cdef class Intake:
    cdef public object metadata
    cdef public bint may_reopen
    cdef object _limits
    cdef readonly object _state
    cdef bint _was_open
    cdef object _book
    cdef object _headers
    cdef object _tracks
    cdef FrameTable _frames
    cdef RollCall _roll
    cdef object _silences
    cdef list _silent_tags
    cdef readonly object _held
    cdef object _wait
    cdef Py_ssize_t _tags_since_open
    cdef Py_ssize_t _tags_before_open

    @cython.locals(passed=Py_ssize_t, room=Py_ssize_t, frames=Py_ssize_t)
    cpdef Py_ssize_t pass_frames(self, tags) except -1

    @cython.locals(roll=RollCall, timestamp_ms=cython.longlong)
    cdef object _call_roll(self, FlvTag tag)
