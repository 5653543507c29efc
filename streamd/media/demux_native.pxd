cimport cython
from libc.stdint cimport int64_t

from streamd.formats.flv.frame cimport FrameHead, read_composition_time
from streamd.formats.flv.tag cimport FlvTag
from streamd.media.packet cimport new_packet
from streamd.formats.payload cimport first_bytes


@cython.final
cdef class NativeDemuxer:
    cdef dict _heads
    cdef tuple _head_sizes

    @cython.locals(
        packets=list, tag=FlvTag, first=bytes, dts_ms=int64_t, pts_ms=int64_t, size=Py_ssize_t, known=tuple,
        track_id=int, head=FrameHead,
    )
    cpdef list demux(self, tags)
