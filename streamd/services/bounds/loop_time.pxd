cimport cython


@cython.final
cdef class LoopTimeBudget:
    cdef object _limit
    cdef double _left_s
    cdef double _settled_at
    cdef double _over_since
    cdef readonly double spent_s

    cpdef double spend(self, double now, double step_s) except? -1

    cpdef bint is_overdue(self, double now) except -1

    cpdef bint is_rested(self, double now) except -1

    cpdef bint has_debt(self, double now) except -1

    @cython.locals(burst_s=double)
    cdef object _settle(self, double now)
