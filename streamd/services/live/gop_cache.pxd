cimport cython


@cython.final
cdef class GopCache:
    cdef Py_ssize_t _payload_bytes_max
    cdef Py_ssize_t _units_max
    cdef Py_ssize_t _units
    cdef readonly bint is_whole
    cdef readonly bint is_full
    cdef readonly list buffers
    cdef readonly Py_ssize_t written_bytes
    cdef Py_ssize_t _pending_units
    cdef list _batches
    cdef readonly Py_ssize_t payload_bytes

    cpdef object restart(self)

    cpdef object forget(self)

    cpdef object extend(self, units, Py_ssize_t payload_bytes)

    cpdef object settle(self, bytes written)
