cimport cython

cimport streamd.formats.memory_c as memory
from libc.stdint cimport int64_t

cdef Py_ssize_t _SLAB_BYTES
cdef Py_ssize_t _HEAD_BYTES


@cython.final
cdef class _Held:
    cdef public Py_ssize_t size


@cython.final
cdef class _Slab:
    cdef readonly bytearray data
    cdef readonly Py_ssize_t size
    cdef _Held _held


# Nothing that it refers to refers back.
@cython.final
@cython.no_gc
cdef class Payload:
    cdef _Slab _slab
    cdef Py_ssize_t _start
    cdef Py_ssize_t _size
    cdef Payload _rest

    @cython.locals(size=Py_ssize_t)
    cpdef bytes head(self)

    @cython.locals(size=Py_ssize_t)
    cpdef bint starts_with(self, bytes first) except -1

    cpdef int read_u24(self, Py_ssize_t at) except -1

    @cython.locals(payload=Payload, at=Py_ssize_t, in_slab=Py_ssize_t)
    cpdef bytes piece(self, Py_ssize_t start, Py_ssize_t size)

    cpdef list views(self, Py_ssize_t start)


cpdef bytes first_bytes(payload)


@cython.locals(data=bytes)
cpdef bytes read_bytes(payload, Py_ssize_t start, Py_ssize_t size)


@cython.locals(head=bytes, size=int64_t, index=Py_ssize_t)
cpdef int64_t read_unit(payload, Py_ssize_t at, Py_ssize_t length_bytes) except -1


@cython.locals(slab=_Slab)
cdef _Slab _new_slab(Py_ssize_t size, _Held held)


@cython.final
cdef class PayloadLog:
    cdef _Held _held
    cdef Py_ssize_t _shared_bytes_max
    cdef _Slab _slab
    cdef Py_ssize_t _used

    @cython.locals(
        slab=_Slab, at=Py_ssize_t, begin=Py_ssize_t, full=list, missing=Py_ssize_t, chunk_left=Py_ssize_t,
        count=Py_ssize_t,
    )
    cpdef Payload append(self, source, Py_ssize_t start, Py_ssize_t size, Py_ssize_t chunk_size)


@cython.locals(payload=Payload)
cdef Payload _place(_Slab slab, Py_ssize_t start, Py_ssize_t size, Payload rest)
