cimport cython
from libc.stdint cimport int64_t

from streamd.formats.flv.tag cimport FlvTag
from streamd.formats.payload cimport Payload, first_bytes


@cython.final
cdef class TagFeed:
    cdef list _pieces
    cdef Py_ssize_t _at
    cdef Py_ssize_t _offset
    cdef int64_t _next_number
    cdef readonly int64_t marker_number
    cdef readonly Py_ssize_t probe_bytes

    cpdef int64_t put(self, tags) except -1

    @cython.locals(
        tag=FlvTag, pieces=list, short=list, header=bytes, end=bytes, count=Py_ssize_t, size=Py_ssize_t, short_bytes=Py_ssize_t,
        first_number=int64_t, number=int64_t,
    )
    cdef int64_t _put(self, tags, Py_ssize_t padding_bytes) except -1

    @cython.locals(pieces=list, start=Py_ssize_t, left=Py_ssize_t, data=bytes)
    cpdef bytes read(self, Py_ssize_t size)


cdef bytes _header(int tag_type, int64_t number, int64_t size)


@cython.locals(data=bytes)
cdef bytes _copy(Payload payload)
