cimport cython
from libc.stdint cimport int64_t

from streamd.formats.cmaf.fragment cimport ChunkHead
from streamd.media.packager.track_queue cimport TrackQueue
from streamd.media.packet cimport Sample

cdef Py_ssize_t _SAMPLE_BYTES


@cython.final
cdef class Queues:
    cdef readonly TrackQueue lead
    cdef readonly list others
    cdef readonly Py_ssize_t room_bytes
    cdef public bint is_lead_paused
    cdef list _by_track
    cdef int64_t _scale
    cdef int64_t _lag_ticks_max
    cdef int64_t _bridge_ticks_max
    cdef int64_t _gap_ticks_max

    cpdef object count_bytes(self, Sample sample)

    cpdef object add_lead(self, Sample sample)

    @cython.locals(queue=TrackQueue)
    cpdef object add_other(self, Sample sample)

    @cython.locals(queue=TrackQueue)
    cpdef int64_t start_of(self, Sample sample) except? -1

    cpdef bint is_bridged(self, int64_t ticks) except -1

    cpdef bint is_within_lag(self, int64_t ticks) except -1

    @cython.locals(queue=TrackQueue, count=Py_ssize_t)
    cpdef Py_ssize_t count(self) except -1

    @cython.locals(queue=TrackQueue)
    cpdef bint has_samples(self) except -1

    @cython.locals(queue=TrackQueue)
    cpdef bint has_samples_before(self, int64_t end) except -1

    cpdef object leap(self)

    @cython.locals(lead=TrackQueue, sample=Sample, first=int64_t, steps=bint)
    cpdef bint take_lead(self, int64_t end, ChunkHead head) except -1

    @cython.locals(queue=TrackQueue, count=Py_ssize_t)
    cpdef object take_others(self, int64_t end, ChunkHead head, bint takes_all)

    @cython.locals(queue=TrackQueue, sample=Sample)
    cpdef object count_anew(self)
