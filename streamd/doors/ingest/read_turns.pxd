cimport cython


@cython.final
cdef class Reading:
    cdef ReadTurns _turns
    cdef object _transport
    cdef object _address
    cdef object _step
    cdef object _budget
    cdef object _holds
    cdef bint _is_waiting
    cdef bint _has_rest
    cdef bint _is_in_line
    cdef bytes _kept
    cdef Py_ssize_t _offered
    cdef double _since
    cdef double _uncounted_s
    cdef object _set_read_ahead
    cdef readonly bint is_stranger
    cdef readonly bint is_closed
    cdef readonly double resumed_at

    cpdef object get_buffer(self)

    cpdef object read(self, Py_ssize_t nbytes)

    cdef object _count_step(self, double step_s)


cdef class ReadTurns:
    cdef public object shares
    cdef readonly object clock
    cdef readonly object cpu
    cdef readonly bytearray buffer
    cdef readonly object view
    cdef readonly object small_view
    cdef object _timers
    cdef object _strangers
    cdef object _addresses
    cdef object _openings
    cdef list _had_their_turn
    cdef bint _is_turn_ending
    cdef double _turn_s
    cdef object _with_rest
    cdef list _pausing
    cdef list _ready
    cdef object _numbers
    cdef object _timer
    cdef double _timer_at
