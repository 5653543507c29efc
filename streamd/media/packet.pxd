cimport cython
cimport streamd.formats.memory_c as memory
from libc.stdint cimport int64_t


# Nothing that they refer to refers back. Packets of a read are gone before the next.
@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class MediaPacket:
    cdef readonly int track_id
    cdef readonly int64_t dts_ms
    cdef readonly int64_t pts_ms
    cdef readonly bint is_keyframe
    cdef readonly object payload
    cdef readonly Py_ssize_t body_at


@cython.final
@cython.no_gc
cdef class Sample:
    cdef readonly int track_id
    cdef readonly int64_t dts_ticks
    cdef readonly int64_t pts_ticks
    cdef public bint is_keyframe
    cdef readonly object payload
    cdef readonly Py_ssize_t body_at
    cdef public int64_t duration_ticks
    cdef public bint is_sync


@cython.locals(packet=MediaPacket)
cpdef MediaPacket new_packet(
    int track_id, int64_t dts_ms, int64_t pts_ms, bint is_keyframe, payload, Py_ssize_t body_at
)


@cython.locals(sample=Sample)
cpdef Sample new_sample(
    int track_id, int64_t dts_ticks, int64_t pts_ticks, bint is_keyframe, payload, Py_ssize_t body_at
)
