cimport cython

from streamd.doors.tls.sending cimport TlsSending


@cython.final
cdef class SlicedTls:
    cdef readonly object incoming
    cdef readonly object outgoing
    cdef readonly object read_buffer
    cdef object _usual_buffer
    cdef object _short_buffer
    cdef Py_ssize_t _silent_reads

    cpdef object get_buffer(self, bint is_large=*)


@cython.final
cdef class SlicedTransport:
    cdef SlicedTls _shared
    cdef object _handshake
    cdef double _shutdown_timeout_s
    cdef object _ssl
    cdef object _plain
    cdef object _protocol
    cdef readonly object plain_side
    # Read by the plain side, and by tests.
    cdef readonly TlsSending _sending
    cdef bytes _unheard
    cdef bint _is_reading_paused
    cdef bint _is_at_end
    cdef bint _is_buffered
    cdef bint _is_read_large
    cdef Py_ssize_t _silent_bytes
    cdef bint _is_closing
    cdef bint _is_goodbye_said
    cdef object _shutdown_timer

    cpdef bint is_closing(self) except -1

    cpdef Py_ssize_t get_write_buffer_size(self) except -1

    cpdef object write(self, data)

    cpdef object writelines(self, list_of_data)

    cpdef object _get_buffer(self)

    @cython.locals(shared=SlicedTls, pieces=list, is_end=bint)
    cpdef object _received(self, Py_ssize_t count)

    cdef object _hear(self, bytes data, Py_ssize_t count, object place, bint is_end)
