cimport cython
from libc.stdint cimport int64_t

from streamd.formats.flv.tag cimport FlvTag
from streamd.media.packet cimport new_packet
from streamd.media.tag_feed cimport TagFeed


@cython.final
cdef class PyavDemuxer:
    cdef TagFeed _feed
    cdef object _container
    cdef object _packets
    cdef bint _is_closed

    @cython.locals(
        packets=list, tag=FlvTag, count=Py_ssize_t, at=Py_ssize_t, number=int64_t, decode_number=int64_t,
        presentation_number=int64_t, stream_index=int, body_at=Py_ssize_t, dts_ms=int64_t, pts_ms=int64_t,
    )
    cpdef list demux(self, tags)
