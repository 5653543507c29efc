cimport cython

from streamd.formats.rtmp.chunk cimport ChunkDecoder
from streamd.formats.rtmp.message_reader cimport MessageReader


@cython.final
cdef class ServerConnection:
    cdef object _options
    cdef object _answers
    cdef object _session
    cdef MessageReader _messages
    cdef object _fault
    cdef object _handshake
    cdef ChunkDecoder _decoder
    cdef Py_ssize_t _messages_per_read
    cdef Py_ssize_t _acknowledged_bytes
    cdef Py_ssize_t _login_bytes
    cdef object _held_data
    cdef Py_ssize_t _held_start
    cdef readonly bint has_more
    cdef public Py_ssize_t bytes_received

    @cython.locals(events=list, position=Py_ssize_t)
    cpdef list receive_buffer(self, bytearray data, Py_ssize_t size)

    cpdef list receive_more(self)

    @cython.locals(data=bytearray, size=Py_ssize_t, position=Py_ssize_t)
    cdef object _receive_held(self, list events)

    @cython.locals(
        reader=MessageReader, position=Py_ssize_t, chunks_end=Py_ssize_t, messages_left=Py_ssize_t, messages=list
    )
    cdef Py_ssize_t _receive_chunks(
        self, bytearray data, Py_ssize_t start, Py_ssize_t size, list events, bint goes_on
    ) except -1
