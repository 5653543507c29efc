cimport cython
from libc.stdint cimport int64_t

from streamd.media.packager.segment cimport Segment
from streamd.media.packager.window cimport Window


@cython.final
cdef class Rendition:
    cdef object __weakref__
    cdef readonly str name
    cdef readonly object timing
    cdef readonly int64_t first_msn
    cdef readonly object options
    cdef Window _window
    cdef bint _is_ended
    cdef object _bit_rate
    cdef tuple _siblings
    cdef tuple _reporters
    cdef object _snapshot
    cdef object _variant_stream

    cpdef object add(self, chunk, epoch=*)

    @cython.locals(segment=Segment)
    cpdef bint end_segment(self) except -1

    @cython.locals(reporter=Rendition)
    cdef object _changed(self)

    cdef object _assert_live(self)
