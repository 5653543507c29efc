cimport cython
from libc.stdint cimport int64_t

from streamd.formats.flv.tag cimport FlvTag
from streamd.media.packet cimport Sample


cdef class StreamMeter:
    cdef public int64_t media_bytes
    cdef readonly int64_t video_frames
    cdef readonly object keyframe_intervals_ms
    cdef readonly int64_t keyframes_unfit
    cdef readonly object bitrate_bps
    cdef readonly object media_bitrate_bps
    cdef readonly object frame_rate
    cdef readonly object frame_rate_best
    cdef readonly object media_rate
    cdef readonly object media_lead_s
    cdef readonly object open_gop_ms
    cdef readonly object repairs
    cdef readonly object damages
    cdef int64_t _keyframes
    cdef object _keyframe_ms
    cdef object _readings
    cdef object _origin
    cdef int64_t _keyframes_read
    cdef object _gop_start_ms

    @cython.locals(tag=FlvTag)
    cpdef object note_media(self, tags)

    @cython.locals(keyframe_ms=int64_t)
    cpdef object note_video(self, Sample sample)
