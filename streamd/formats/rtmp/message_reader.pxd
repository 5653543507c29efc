cimport cython

from streamd.formats.flv.tag cimport FlvTag, new_tag
from streamd.formats.rtmp.message cimport Message

cdef int _AUDIO
cdef int _VIDEO


@cython.final
cdef class MessageReader:
    cdef object _session
    cdef object _answers
    cdef object _options
    cdef readonly bint is_stranger
    cdef readonly Py_ssize_t messages_received
    cdef readonly object messages_dropped
    cdef readonly Py_ssize_t window_bytes
    cdef dict _dropped
    cdef object _amf_budget
    cdef Py_ssize_t _unearned_bytes
    cdef Py_ssize_t _control_answers_left
    cdef Py_ssize_t _commands_left
    cdef Py_ssize_t _aggregated_left
    cdef list _aggregated
    cdef Py_ssize_t _aggregated_done
    cdef readonly bint has_more
    cdef readonly Py_ssize_t aggregated_bytes

    cpdef object earn(self, Py_ssize_t size)

    cpdef object begin_read(self, Py_ssize_t messages_max)

    cpdef object end_step(self)

    cpdef object forget(self)

    @cython.locals(is_publishing=bint)
    cpdef object receive(self, list messages, list events)

    @cython.locals(begin=Py_ssize_t, end=Py_ssize_t, type_id=int, inner=Message)
    cpdef Py_ssize_t receive_aggregated(self, Py_ssize_t messages_max, list events) except -1

    cdef object _receive_message(self, Message message, list events)

    @cython.locals(type_id=int)
    cdef object _dispatch(self, Message message, list events)

    cdef object _receive_media(self, Message message, list events)

    @cython.locals(messages_left=Py_ssize_t, messages=list)
    cdef object _receive_aggregate(self, Message message, list events)

    cdef object _drop(self, object reason, int type_id, list events, str limit=*)
