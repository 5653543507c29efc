cimport cython

from streamd.services.bounds.loop_time cimport LoopTimeBudget

cdef double _READ_S
cdef double _PUBLISHERS_UNCOUNTED_S


@cython.final
cdef class Reading:
    cdef object _turns
    cdef object _cpu
    cdef object _transport
    cdef LoopTimeBudget _address
    cdef object _step
    cdef LoopTimeBudget _budget
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

    cpdef object spend(self, double step_s)
