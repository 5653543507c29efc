cimport cython

from streamd.formats.flv.tag cimport new_tag
from streamd.formats.rtmp.chunk cimport ChunkDecoder
from streamd.formats.rtmp.message cimport Message

cdef int _AUDIO
cdef int _VIDEO


@cython.final
cdef class ServerConnection:
    cdef object _options
    cdef object _state
    cdef bint _is_stranger
    cdef object _fault
    cdef object _handshake
    cdef ChunkDecoder _decoder
    cdef object _writer
    cdef list _out
    cdef object _amf_budget
    cdef Py_ssize_t _unearned_bytes
    cdef Py_ssize_t _control_answers_left
    cdef Py_ssize_t _commands_left
    cdef dict _dropped
    cdef Py_ssize_t _window_bytes
    cdef Py_ssize_t _acknowledged_bytes
    cdef Py_ssize_t _login_bytes
    cdef object _held_data
    cdef Py_ssize_t _held_start
    cdef list _aggregated
    cdef Py_ssize_t _aggregated_done
    cdef Py_ssize_t _aggregated_bytes
    cdef Py_ssize_t _aggregated_left
    cdef Py_ssize_t _messages_per_read
    cdef readonly bint has_more
    cdef str _app
    cdef str _tc_url
    cdef Py_ssize_t _streams_created
    cdef object _publish_stream_id
    cdef bint _waits_for_fc_publish
    cdef public Py_ssize_t bytes_received
    cdef readonly Py_ssize_t messages_received
    cdef readonly object messages_dropped

    @cython.locals(events=list, position=Py_ssize_t)
    cpdef list receive_buffer(self, bytearray data, Py_ssize_t size)

    cpdef list receive_more(self)

    @cython.locals(data=bytearray, size=Py_ssize_t, position=Py_ssize_t)
    cdef object _receive_held(self, list events)

    @cython.locals(position=Py_ssize_t, chunks_end=Py_ssize_t, messages_left=Py_ssize_t, messages=list)
    cdef Py_ssize_t _receive_chunks(
        self, bytearray data, Py_ssize_t start, Py_ssize_t size, list events, bint goes_on
    ) except -1

    @cython.locals(is_publishing=bint, message=Message)
    cdef object _receive_messages(self, list messages, list events)

    cdef object _receive_message(self, Message message, list events)

    @cython.locals(type_id=int)
    cdef object _dispatch(self, Message message, list events)

    cdef object _receive_media(self, Message message, list events)

    @cython.locals(messages_left=Py_ssize_t, messages=list)
    cdef object _receive_aggregate(self, Message message, list events)

    @cython.locals(begin=Py_ssize_t, end=Py_ssize_t, type_id=int, inner=Message)
    cdef Py_ssize_t _receive_aggregated(self, Py_ssize_t messages_max, list events) except -1

    cdef object _drop(self, object reason, Message message, list events, str limit=*)
