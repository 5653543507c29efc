cimport cython
from libc.stdint cimport int64_t, uint32_t

cdef uint32_t _SYNC_SAMPLE_FLAGS
cdef uint32_t _NON_SYNC_SAMPLE_FLAGS
cdef uint32_t _TFHD_DEFAULT_SAMPLE_DURATION
cdef uint32_t _TFHD_DEFAULT_SAMPLE_FLAGS
cdef uint32_t _TFHD_DEFAULT_BASE_IS_MOOF
cdef uint32_t _TRUN_DATA_OFFSET
cdef uint32_t _TRUN_SAMPLE_DURATION
cdef uint32_t _TRUN_SAMPLE_SIZE
cdef uint32_t _TRUN_SAMPLE_FLAGS
cdef uint32_t _TRUN_SAMPLE_COMPOSITION_TIME_OFFSET
cdef int64_t _UINT32
cdef uint32_t _MOOF
cdef uint32_t _MFHD
cdef uint32_t _TRAF
cdef uint32_t _TFHD
cdef uint32_t _TFDT
cdef uint32_t _TRUN
cdef uint32_t _MDAT
cdef bint _SWAPS_BYTES
cdef Py_ssize_t _MOOF_WORDS
cdef Py_ssize_t _TRAF_WORDS
cdef Py_ssize_t _TRUN_WORDS
cdef Py_ssize_t _MDAT_WORDS
cdef Py_ssize_t _ROW_WORDS


@cython.final
cdef class ChunkHead:
    cdef readonly list payloads
    cdef readonly list starts
    cdef readonly int64_t samples_bytes
    cdef object _array
    cdef uint32_t[::1] _words
    cdef Py_ssize_t _room
    cdef Py_ssize_t _rows
    cdef Py_ssize_t _end
    cdef Py_ssize_t _row
    cdef int64_t _duration
    cdef bint _is_sync
    cdef uint32_t _columns

    @cython.locals(room=Py_ssize_t, words=uint32_t[::1])
    cpdef object begin(self, sequence_number, Py_ssize_t tracks, Py_ssize_t samples)

    @cython.locals(words=uint32_t[::1], at=Py_ssize_t)
    cpdef object begin_run(self, int track_id, decode_ticks)

    @cython.locals(row=Py_ssize_t, size=Py_ssize_t, words=uint32_t[::1])
    cpdef object add(self, int64_t duration, int64_t composition_offset, bint is_sync, payload, Py_ssize_t start)

    @cython.locals(words=uint32_t[::1], end=Py_ssize_t, at=Py_ssize_t, data_offset=int64_t)
    cpdef bytes write(self)

    @cython.locals(
        words=uint32_t[::1], at=Py_ssize_t, rows=Py_ssize_t, end=Py_ssize_t, columns=uint32_t, count=Py_ssize_t,
        has_durations=bint, has_flags=bint, has_offsets=bint, width=Py_ssize_t, column=Py_ssize_t,
    )
    cdef object _end_run(self)
