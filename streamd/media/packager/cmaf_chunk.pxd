cimport cython
cimport streamd.formats.memory_c as memory
from libc.stdint cimport int64_t


@cython.final
cdef class ChunkBytes:
    cdef bytes _head
    cdef object _payloads
    cdef object _starts
    cdef Py_ssize_t _size_bytes
    cdef bytes _joined


@cython.final
cdef class CmafChunk:
    cdef readonly ChunkBytes content
    cdef readonly int64_t start_ticks
    cdef readonly int64_t duration_ticks
    cdef readonly int64_t timescale
    cdef readonly bint is_independent
    cdef readonly bint starts_segment
    cdef readonly bint is_discontinuous
