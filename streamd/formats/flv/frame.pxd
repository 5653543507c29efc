cimport cython


@cython.final
cdef class FrameHead:
    cdef readonly Py_ssize_t body_at
    cdef readonly Py_ssize_t composition_time_at
    cdef readonly bint is_keyframe
    cdef readonly int track_id
    cdef public int track_number


cpdef int read_composition_time(bytes payload, Py_ssize_t offset) except? -1

cpdef int composition_time(int value) except? -1
