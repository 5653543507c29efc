cimport cython
from libc.stdint cimport int64_t

from streamd.media.packager.segment cimport Segment


@cython.final
cdef class Window:
    cdef readonly object header
    cdef readonly object listed
    cdef readonly Segment open
    cdef readonly int64_t next_msn
    cdef readonly int64_t next_part_number
    cdef readonly int64_t discontinuity_sequence
    cdef readonly int64_t held_bytes
    cdef readonly int64_t segments_lost
    cdef readonly int64_t listed_us
    cdef Py_ssize_t _segments
    cdef int64_t _held_bytes_max
    cdef int64_t _shortest_us
    cdef bint _is_continuing
    cdef int64_t _epoch_ms
    cdef object _retired
    cdef int64_t _longest_us
    cdef int64_t _elapsed_us
    cdef dict _init_bytes
    cdef dict _segment_bytes
    cdef dict _part_bytes

    @cython.locals(segment=Segment)
    cpdef object add(self, chunk, epoch=*)

    @cython.locals(segment=Segment, duration_us=int64_t)
    cpdef Segment end_segment(self)

    @cython.locals(previous=Segment, start_ms=int64_t, is_discontinuous=bint)
    cdef object _open_segment(self, chunk, epoch)

    @cython.locals(msn=int64_t)
    cdef int64_t _next_free_msn(self) except? -1

    cdef object _slide(self)

    cdef object _make_room(self)

    @cython.locals(segment=Segment, duration_us=int64_t)
    cdef object _retire(self)

    @cython.locals(segment=Segment)
    cdef object _forget(self)

    @cython.locals(first=Segment, last=Segment)
    cdef object _forget_header(self, header)
