cimport cython
from libc.stdint cimport int64_t

from streamd.formats.flv.tag cimport FlvTag, new_tag
from streamd.formats.payload cimport PayloadLog
from streamd.formats.rtmp.message cimport Message, new_message

cdef int64_t _EXTENDED
cdef Py_ssize_t _TYPE_1_BYTES
cdef Py_ssize_t _SMALL_PIECE_BYTES
cdef Py_ssize_t _RUN_CHUNK_SIZE_MAX
cdef Py_ssize_t _RUN_CHUNKS_MAX
cdef int _AUDIO
cdef int _VIDEO


@cython.final
cdef class _ChunkStream:
    cdef public int64_t timestamp_ms
    cdef public int64_t delta_ms
    cdef public Py_ssize_t length
    cdef public int type_id
    cdef public unsigned long message_stream_id
    cdef public bytes extended_field
    cdef public int type_3
    cdef public int continuation
    cdef public Py_ssize_t missing_bytes
    cdef public list pieces


@cython.final
cdef class ChunkDecoder:
    cdef object _limits
    cdef readonly dict _streams
    cdef Py_ssize_t _partial_bytes
    cdef Py_ssize_t _whole_bytes_max
    cdef bytes _held
    cdef _ChunkStream _current
    cdef Py_ssize_t _chunk_bytes_left
    cdef PayloadLog _log
    cdef object _fault
    cdef public Py_ssize_t chunk_size
    cdef public Py_ssize_t messages_left
    cdef readonly Py_ssize_t position
    cdef readonly Py_ssize_t chunks_read

    cpdef list receive_data(self, data)

    @cython.locals(messages=list)
    cpdef list receive_buffer(self, bytearray data, Py_ssize_t size, Py_ssize_t start=*, bint goes_on=*)

    cpdef object raise_fault(self)

    @cython.locals(
        held_bytes=Py_ssize_t, messages_max=Py_ssize_t, step_max=Py_ssize_t, chunks_left=Py_ssize_t,
        position=Py_ssize_t, stream=_ChunkStream, end=Py_ssize_t,
        header_start=Py_ssize_t, missing=Py_ssize_t, chunk_left=Py_ssize_t, piece=bytes, taken=Py_ssize_t,
    )
    cdef object _read(self, bytearray data, Py_ssize_t size, Py_ssize_t start, list messages)

    @cython.locals(
        start=Py_ssize_t, basic=int, stream=_ChunkStream, type_id=int, delta_ms=int64_t, length=Py_ssize_t,
        chunk_size=Py_ssize_t, end=Py_ssize_t, later_chunks=Py_ssize_t, header=Py_ssize_t,
    )
    cdef Py_ssize_t _take_whole(self, bytearray data, Py_ssize_t size, Py_ssize_t position, list messages) except -1

    @cython.locals(
        basic=int, chunk_type=int, chunk_stream_id=int, offset=Py_ssize_t, id_end=Py_ssize_t, stream=_ChunkStream,
        end=Py_ssize_t, timestamp_ms=int64_t, word="unsigned long",
    )
    cdef Py_ssize_t _read_header(self, bytearray data, Py_ssize_t size, Py_ssize_t position) except -1

    cdef Py_ssize_t _continue(
        self, _ChunkStream stream, bytearray data, Py_ssize_t size, Py_ssize_t offset
    ) except -1

    cdef _ChunkStream _open(self, int chunk_stream_id, int chunk_type)

    @cython.locals(length=Py_ssize_t)
    cdef object _start_message(self, _ChunkStream stream)

    @cython.locals(stride=Py_ssize_t, count=Py_ssize_t, run=Py_ssize_t)
    cdef Py_ssize_t _take_run(
        self, bytearray data, Py_ssize_t size, Py_ssize_t position, _ChunkStream stream, Py_ssize_t missing
    ) except -1

    cdef object _complete(self, _ChunkStream stream, bytes last_piece)

    cdef object _obey(self, int type_id, bytes payload)
