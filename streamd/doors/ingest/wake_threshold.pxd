cimport cython
from libc.stdint cimport int64_t

from streamd.formats.flv.tag cimport FlvTag

cdef int _VIDEO
cdef Py_ssize_t _BETWEEN_MESSAGES_BYTES
cdef Py_ssize_t _LARGE_PICTURES_MIN
cdef Py_ssize_t _WAKE_BYTES_MAX
cdef double _JITTER_S
cdef double _HOLD_S_MAX
cdef double _HOLD_S_MIN
cdef double _GRID_S
cdef double _LEAP_S
cdef double _PACE_KEPT_S
cdef double _TAKE_REST_S
cdef int _SOL_SOCKET
cdef int _SO_RCVLOWAT


@cython.final
cdef class WakeClock:
    cdef object _timers
    cdef dict _listed
    cdef int64_t _next_tick
    cdef object _timer

    cdef double time(self) except? -1

    cdef object look_at(self, WakeThreshold threshold, int64_t tick)

    cdef object _set_timer(self)

    @cython.locals(tick=int64_t, now=double, threshold=WakeThreshold)
    cpdef object _look(self)


@cython.final
cdef class WakeThreshold:
    cdef object _socket
    cdef WakeClock _clock
    cdef int64_t tick
    cdef int64_t listed_tick
    cdef Py_ssize_t _bytes
    cdef bint _is_holding
    cdef double _due_s
    cdef bint _has_pictures
    cdef Py_ssize_t _large_pictures
    cdef double _newest_s
    cdef double _pace_s
    cdef double _pace_before_s
    cdef double _pace_until

    @cython.locals(now=double, due_s=double, tick=int64_t)
    cpdef object wait_for_media(self, list events, Py_ssize_t missing_bytes, int64_t awaited_ms)

    cdef object look(self, double now)

    @cython.locals(tag=FlvTag, newest=FlvTag, ahead_s=double, is_leap=bint)
    cdef object _note(self, list events, double now)

    cdef Py_ssize_t _next_picture_bytes(self) except -1

    cdef object _wait_for(self, Py_ssize_t wake_bytes, double now)

    cdef object _set(self, Py_ssize_t wake_bytes)
