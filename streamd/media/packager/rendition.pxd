cimport cython
from libc.stdint cimport int64_t


@cython.final
cdef class _Segment:
    cdef readonly int64_t msn
    cdef readonly object header
    cdef readonly int64_t first_part_number
    cdef readonly int64_t timescale
    cdef readonly int64_t program_date_time_ms
    cdef readonly bint is_discontinuous
    cdef public int64_t duration_ticks
    cdef public int64_t size_bytes
    cdef public int64_t held_bytes
    cdef readonly list chunks
    cdef list _entries
    cdef public int64_t expires_us


@cython.final
cdef class Rendition:
    cdef object __weakref__
    cdef readonly str name
    cdef readonly object timing
    cdef bint _is_continuing
    cdef object _options
    cdef int64_t _next_msn
    cdef int64_t _next_part_number
    cdef int64_t _discontinuity_sequence
    cdef int64_t _first_msn
    cdef object _header
    cdef object _listed
    cdef _Segment _open
    cdef object _retired
    cdef bint _is_ended
    cdef dict _inits
    cdef dict _segments
    cdef dict _parts
    cdef int64_t _held_bytes
    cdef readonly int64_t segments_lost
    cdef int64_t _epoch_ms
    cdef int64_t _listed_us
    cdef int64_t _longest_us
    cdef int64_t _elapsed_us
    cdef object _bit_rate
    cdef tuple _siblings
    cdef object _snapshot
    cdef object _variant_stream

    @cython.locals(segment=_Segment, size_bytes=Py_ssize_t, held_bytes=Py_ssize_t)
    cpdef object add(self, chunk, epoch=*)

    @cython.locals(segment=_Segment)
    cpdef bint end_segment(self) except -1

    @cython.locals(sibling=Rendition)
    cdef object _changed(self)

    cdef object _assert_live(self)

    @cython.locals(previous=_Segment, start_ms=int64_t, is_discontinuous=bint, end_ms=int64_t)
    cdef object _open_segment(self, chunk, epoch)

    @cython.locals(shortest_us=int64_t)
    cdef object _slide(self)

    @cython.locals(segment=_Segment)
    cdef object _retire(self)

    @cython.locals(segment=_Segment)
    cdef object _forget(self)

    cdef object _make_room(self)

    @cython.locals(first=_Segment, last=_Segment)
    cdef object _forget_header(self, header)
