cimport cython
from libc.stdint cimport int64_t

from streamd.media.packet cimport Sample


@cython.final
@cython.freelist(256)
@cython.no_gc
cdef class TimedSample:
    cdef readonly Sample sample
    cdef readonly int64_t duration_ticks


@cython.final
cdef class SampleTimer:
    cdef dict _held

    @cython.locals(held=dict, timed=list, sample=Sample, before=Sample)
    cpdef list push(self, samples)
