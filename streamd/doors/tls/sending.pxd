cimport cython

from streamd.doors.tls.backlog cimport Backlog


cdef Py_ssize_t _RECORD_BYTES_MAX


@cython.final
cdef class TlsSending:
    cdef readonly object protocol
    cdef object _ssl
    cdef object _outgoing
    cdef object _socket
    cdef object _on_broken
    cdef object _on_sent
    cdef object _plain
    # Read by tests.
    cdef readonly Backlog _backlog
    # Read by tests.
    cdef readonly Py_ssize_t _slice_bytes
    cdef bint _is_plain_paused
    cdef bint _is_app_paused
    cdef bint _is_pump_due
    cdef bint _ends_when_sent
    cdef Py_ssize_t _high_bytes
    cdef Py_ssize_t _low_bytes

    cpdef Py_ssize_t waiting_bytes(self) except -1

    cpdef Py_ssize_t own_bytes(self) except -1

    @cython.locals(size=Py_ssize_t)
    cpdef object write(self, data)

    cpdef object writelines(self, list_of_data)

    cpdef object send_own(self)

    cpdef object end_when_sent(self)

    cpdef object resume(self)

    @cython.locals(records=Py_ssize_t, left_bytes=Py_ssize_t, encrypted=bytes)
    cdef object _pump(self)

    @cython.locals(encrypted=bytes)
    cdef object _send_record(self, data)

    @cython.locals(has_room_bytes=Py_ssize_t, records=Py_ssize_t)
    cdef Py_ssize_t _next_slice_bytes(self) except -1

    @cython.locals(size=Py_ssize_t)
    cdef object _control_flow(self)
