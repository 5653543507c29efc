cimport cython

from streamd.cmaf.box cimport box_header, full_box


@cython.final
cdef class TrackRun:
    cdef readonly int track_id
    cdef readonly object decode_ticks
    cdef readonly list durations
    cdef readonly list composition_offsets
    cdef readonly list sync
    cdef readonly list payloads
    cdef readonly list starts


@cython.final
cdef class _Traf:
    cdef public bytes _head
    cdef public unsigned int _tr_flags
    cdef public Py_ssize_t _count
    cdef public bytes _table
    cdef public Py_ssize_t size_bytes
    cdef public Py_ssize_t data_bytes
