cimport cython
from libc.stdint cimport int64_t

from streamd.formats.payload cimport read_bytes, read_unit

cdef int _UNITS_READ_MAX
cdef int _H264_SEI


@cython.locals(
    is_h264=bint, index=int, unit=int64_t, size=Py_ssize_t, first=int, header_bytes=Py_ssize_t, message=bytes,
)
cpdef object find_captions(str codec, payload, Py_ssize_t at, Py_ssize_t length_bytes=*)
