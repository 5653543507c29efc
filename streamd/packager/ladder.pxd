cimport cython

from streamd.media.packet cimport Sample
from streamd.packager.segmenter cimport Segmenter


@cython.final
cdef class Ladder:
    cdef dict _segmenters
    cdef dict _routes
    cdef Segmenter _first
    cdef tuple _only
    cdef bint _timing_is_shared

    @cython.locals(track_id=int, segmenter=Segmenter, done=list, chunks=list)
    cpdef list push(self, Sample sample)
