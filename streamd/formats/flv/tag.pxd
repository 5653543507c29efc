cimport cython
cimport streamd.formats.memory_c as memory
from libc.stdint cimport int64_t

from streamd.formats.flv.frame cimport FrameHead


# Nothing that a tag refers to refers back.
@cython.no_gc
cdef class Findings:
    cdef public FrameHead head
    cdef public int composition_time_ms


@cython.final
@cython.no_gc
cdef class FlvTag(Findings):
    cdef readonly int tag_type
    cdef readonly int64_t timestamp_ms
    cdef readonly object payload


@cython.locals(tag=FlvTag)
cpdef FlvTag new_tag(int tag_type, int64_t timestamp_ms, payload)
