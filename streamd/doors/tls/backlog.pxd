cimport cython


@cython.final
cdef class Backlog:
    # Read by tests.
    cdef readonly object pieces
    cdef readonly Py_ssize_t size

    cpdef object append(self, data)

    @cython.locals(parts=list, room=Py_ssize_t)
    cpdef object take(self, Py_ssize_t size_max)

    cpdef object clear(self)

    cdef object _keep_rest(self, piece, Py_ssize_t size)
