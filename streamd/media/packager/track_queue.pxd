cimport cython
from libc.stdint cimport int64_t

from streamd.formats.cmaf.fragment cimport ChunkHead
from streamd.media.packet cimport Sample


@cython.final
cdef class TrackQueue:
    cdef readonly int track_id
    cdef readonly int64_t timescale
    cdef int64_t _frame_ticks
    cdef readonly list samples
    cdef readonly object next_ticks
    cdef readonly int64_t last_duration

    @cython.locals(samples=list, sample=Sample, count=Py_ssize_t)
    cpdef Py_ssize_t count_before(self, int64_t end, int64_t scale) except -1

    @cython.locals(samples=list, first=int64_t, last=int64_t, sample=Sample)
    cpdef object take_counted(self, Py_ssize_t count, ChunkHead head)

    @cython.locals(samples=list, time=int64_t, index=Py_ssize_t, sample=Sample, following=Sample, next_time=int64_t)
    cpdef object take(self, Py_ssize_t count, int64_t first, int64_t end, ChunkHead head)
