cimport cython


cdef class TransportViewer:
    cdef object _on_end
    cdef list _pieces
    # Read by those who inherit.
    cdef readonly object _transport
    cdef Py_ssize_t _waiting_bytes
    cdef readonly Py_ssize_t written_bytes

    @cython.locals(size=Py_ssize_t)
    cpdef object write(self, bytes data)

    @cython.locals(buffered_bytes=Py_ssize_t)
    cpdef Py_ssize_t offer(self, bytes data, Py_ssize_t buffered_bytes_max) except -1
