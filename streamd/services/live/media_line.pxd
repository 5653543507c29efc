cimport cython

from streamd.media.intake.intake cimport Intake
from streamd.services.live.packaging cimport Packaging


cdef class MediaLine:
    cdef object _clock
    cdef object _metrics
    cdef object _warn
    cdef object _charge
    cdef object _on_failed
    cdef Intake _intake
    cdef object _allowances
    cdef object _drops
    cdef public Packaging _packaging
    cdef object _opener
    cdef object _queue
    cdef object _opening
    cdef object _demuxer_kind
    cdef public object _demuxer
    cdef int _demuxer_failures
    cdef bint _has_failed
    cdef object _epoch
    cdef bint _is_finished

    cpdef object receive(self, tags)

    @cython.locals(passed=Py_ssize_t)
    cdef object _receive(self, tags)

    cdef object _receive_others(self, tags, Py_ssize_t passed)

    cdef object _demux(self, tags)
