cimport cython

from streamd.services.live.gop_cache cimport GopCache


@cython.final
cdef class Fanout:
    cdef object _clock
    cdef object _on_attach
    cdef object _viewers_gauge
    cdef object _skips_total
    cdef object _too_slow_total
    cdef object _egress_bytes_total
    cdef object _gop_limit_hits_total
    cdef object _writer
    cdef bint _has_video
    cdef GopCache _gop
    cdef object _last_gop_bytes
    cdef dict _written_ms
    cdef dict _following
    cdef dict _set_aside
    cdef set _previews
    cdef Py_ssize_t _sent_bytes
    cdef Py_ssize_t _kept_bytes

    cpdef object receive(self, units)

    @cython.locals(first=Py_ssize_t, gop=GopCache)
    cdef object _receive_for_nobody(self, writer, units)

    @cython.locals(is_due=bint, gop=GopCache)
    cdef object _receive_for_viewers(self, writer, units)

    @cython.locals(is_video=bint)
    cdef bint _is_due(self, writer, unit) except -1

    @cython.locals(opens_gop=bint)
    cdef object _write_pending(self)
