cimport cython

from streamd.media.packet cimport Sample


@cython.final
cdef class SampleTimer:
    cdef list _held

    @cython.locals(held=list, timed=list, sample=Sample, before=Sample, track_id=Py_ssize_t)
    cpdef list push(self, samples)
