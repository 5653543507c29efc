cimport cython
from libc.stdint cimport int64_t

from streamd.formats.cmaf.fragment cimport ChunkHead
from streamd.media.packet cimport Sample


@cython.final
cdef class Fragmenter:
    cdef readonly bytes head
    cdef readonly bint has_video
    cdef int _video_track_id
    cdef dict _timescales
    cdef object _starts
    cdef object _next_sequence_number

    cpdef bint is_video(self, Sample sample) except -1

    cpdef bint is_keyframe(self, Sample sample) except -1

    @cython.locals(index=Py_ssize_t, last=Py_ssize_t)
    cpdef Py_ssize_t last_keyframe(self, samples) except? -1

    @cython.locals(head=ChunkHead, track_id=int, is_begun=bint, sample=Sample, dts=int64_t)
    cpdef bytes write(self, samples)

    @cython.locals(sample=Sample, total=Py_ssize_t)
    cpdef Py_ssize_t payload_bytes(self, samples) except -1
