cimport cython
cimport streamd.formats.memory_c as memory
from libc.stdint cimport int64_t

from streamd.formats.cmaf.fragment cimport ChunkHead
from streamd.media.packet cimport Sample
from streamd.media.packager.cadence cimport Cadence
from streamd.media.packager.cmaf_chunk cimport ChunkBytes, CmafChunk
from streamd.media.packager.frame_interval cimport FrameInterval
from streamd.media.packager.queues cimport Queues
from streamd.media.packager.track_queue cimport TrackQueue


@cython.final
cdef class Segmenter:
    cdef readonly object timing
    cdef readonly bint has_opening
    cdef readonly object irregularities
    cdef readonly int64_t next_sequence_number
    cdef int64_t _scale
    cdef int _lead_id
    cdef bint _is_audio_only
    cdef bint _has_begun
    cdef bint _is_discontinuous
    cdef ChunkHead _head
    cdef Queues _queues
    cdef FrameInterval _interval
    cdef Cadence _cadence
    cdef bint _decides
    cdef object _decision

    cpdef object push(self, Sample sample)

    @cython.locals(queues=Queues, end=int64_t)
    cdef object _cut(self, Sample sample)

    @cython.locals(
        cadence=Cadence, queues=Queues, dts=int64_t, chunks=list, boundary=int64_t, end=int64_t,
        is_opening_over=bint,
    )
    cdef object _cut_by_lead(self, Sample sample)

    @cython.locals(cadence=Cadence, queues=Queues, start=int64_t, lead_end=int64_t, chunks=list)
    cdef object _cut_by_other(self, Sample sample)

    cdef object _meet_gap(self, int64_t ticks)

    @cython.locals(chunks=list, position=int64_t, end=int64_t)
    cdef object _close_all(self)

    @cython.locals(
        cadence=Cadence, queues=Queues, head=ChunkHead, lead=TrackQueue, position=int64_t, is_independent=bint,
        starts_with_keyframe=bint, sample=Sample,
    )
    cdef CmafChunk _close(self, int64_t end, bint takes_all=*)

    cdef object _take_lead(self, int64_t end)

    cdef int64_t _open_position(self) except? -1
