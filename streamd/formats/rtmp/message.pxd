cimport cython
from libc.stdint cimport int64_t


# Those of a read are gone before the next.
@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Message:
    cdef readonly int type_id
    cdef readonly int64_t timestamp_ms
    cdef readonly unsigned long message_stream_id
    cdef readonly object payload


@cython.locals(message=Message)
cpdef Message new_message(int type_id, int64_t timestamp_ms, unsigned long message_stream_id, payload)
