cimport cython

from streamd.media.packet cimport Sample


@cython.final
cdef class SampleTimer:
    cdef dict _held

    @cython.locals(held=dict, timed=list, sample=Sample, before=Sample)
    cpdef list push(self, samples)
