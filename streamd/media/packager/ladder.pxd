cimport cython

from streamd.media.packet cimport Sample
from streamd.media.packager.segmenter cimport Segmenter


@cython.final
cdef class Ladder:
    cdef dict _segmenters
    cdef dict _routes
    cdef Segmenter _first
    cdef str _only
    cdef int _only_tracks
    cdef bint _timing_is_shared

    @cython.locals(sample=Sample, track_id=int, segmenter=Segmenter, done=list)
    cpdef list push(self, samples)
    # Without its type, Cython infers one from the assignments in an order of its own, and two builds differ.
    @cython.locals(done=list)
    cpdef list finish(self)
