cimport cython
from libc.stdint cimport int64_t

from streamd.formats.payload cimport read_bytes, read_unit

cdef int _UNITS_READ_MAX


cpdef bint can_start(str codec, payload, Py_ssize_t at, Py_ssize_t length_bytes=*) except -1


cpdef bint is_start(str codec, payload, Py_ssize_t at, Py_ssize_t length_bytes=*) except -1


@cython.locals(index=int, unit=int64_t, unit_type=int)
cdef int _first_slice(payload, Py_ssize_t at, Py_ssize_t length_bytes, int mask, int shift, int first, int last) except -2
