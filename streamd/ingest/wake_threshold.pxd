cimport cython

from streamd.flv.tag cimport FlvTag


cdef class WakeThreshold:
    cdef object _socket
    cdef object _timers
    cdef Py_ssize_t _bytes
    cdef object _timer
    cdef bint _is_fresh
    cdef Py_ssize_t _large_pictures
    cdef double _newest_s
    cdef double _pace_s
    cdef double _pace_before_s
    cdef double _pace_until

    @cython.locals(tag=FlvTag, now=double, ahead_s=double, is_leap=bint)
    cpdef object note(self, tags)

    @cython.locals(now=double, due=double, wake_at=double)
    cpdef object wait_for_media(self, Py_ssize_t missing_bytes, double awaited_ms)

    cpdef object take_rest(self)

    cdef object _stop_timer(self)

    cdef object _set(self, Py_ssize_t wake_bytes)
