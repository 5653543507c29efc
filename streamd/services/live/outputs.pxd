cimport cython


@cython.final
cdef class Outputs:
    cdef readonly dict failed
    cdef str _stream
    cdef readonly tuple _all
    cdef tuple _fed
    cdef tuple _of_tags
    cdef tuple _of_samples
    cdef tuple _of_frames
    cdef tuple _part_outputs
    cdef tuple _of_parts
    cdef tuple _looking
    cdef tuple _queueing
    cdef object _numbered
    cdef double _linger_s

    cpdef object take_tags(self, tags)

    cpdef object take_samples(self, samples)

    cpdef object take_part(self, str rendition, chunk, timing)

    cpdef object end_segment(self, str rendition)

    cpdef object look(self, double now)

    cdef object _choose_of_parts(self)

    cdef object _drop_slow(self)
