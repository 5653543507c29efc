cimport cython
from libc.stdint cimport int64_t

from streamd.formats.flv.frame cimport FrameHead
from streamd.formats.flv.tag cimport FlvTag
from streamd.formats.payload cimport first_bytes

cdef int _ROLL_CALL_TAGS


@cython.final
cdef class _Presence:
    cdef public int kind
    cdef public object heard_ms
    cdef public bint is_new
    cdef public object missing_since_ms

    cpdef object note(self, int64_t timestamp_ms)


@cython.final
cdef class Intake:
    cdef public object metadata
    cdef public object drops
    cdef public dict refusals
    cdef object _limits
    cdef dict _headers
    cdef set _started
    cdef set _gone
    cdef object _header_reader
    cdef dict _late
    cdef dict _unfit
    cdef public bint may_reopen
    cdef dict _opened
    cdef bint _tracks_differ
    cdef dict _frame_heads
    cdef tuple _frame_head_sizes
    cdef bint _was_open
    cdef Py_ssize_t _tags_since_open
    cdef Py_ssize_t _tags_before_open
    cdef dict _presences
    cdef dict _silences
    cdef list _silent_tags
    cdef Py_ssize_t _silent_frames_left
    cdef int64_t _roll_call_ms
    cdef readonly object _held
    cdef readonly Py_ssize_t _held_bytes
    cdef object _wait_start_ms
    cdef Py_ssize_t _wait_tags

    @cython.locals(passed=Py_ssize_t, room=Py_ssize_t, frames=Py_ssize_t)
    cpdef Py_ssize_t pass_frames(self, tags) except -1

    @cython.locals(presence=_Presence, timestamp_ms=int64_t, missing_ms=int64_t)
    cdef object _call_roll(self, FlvTag tag)

    @cython.locals(
        heads=dict, head_sizes=tuple, frames=Py_ssize_t, tag=FlvTag, first=bytes, size=Py_ssize_t, known=tuple,
        presence=_Presence, head=FrameHead, composition_time_at=Py_ssize_t,
    )
    cdef Py_ssize_t _count_frames(self, tags) except -1
