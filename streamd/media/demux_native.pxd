cimport cython
from libc.stdint cimport int64_t

from streamd.formats.flv.frame cimport FrameHead
from streamd.formats.flv.tag cimport FlvTag
from streamd.media.packet cimport new_packet


@cython.final
cdef class NativeDemuxer:
    @cython.locals(packets=list, tag=FlvTag, head=FrameHead, dts_ms=int64_t, pts_ms=int64_t)
    cpdef list demux(self, tags)
