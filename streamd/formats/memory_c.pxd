# streamd.formats.memory, for compiled modules.

cdef extern from *:
    """
    #include <string.h>
    #if defined(__linux__)
    #include <sys/mman.h>
    #include <unistd.h>
    #endif

    /* Slabs that nobody uses, for the next ones: 8 MiB, which is what the segments have that leave the windows of
       hundred publishers between two new ones. Their pages are there, and asking the kernel for them once more takes as
       long as half of a read. The holder of the interpreter's lock has the list. */
    #define STREAMD_KEPT_SLABS 128
    static PyObject *streamd_kept_slabs[STREAMD_KEPT_SLABS];
    static int streamd_kept = 0;

    static inline void streamd_give_back(PyObject *slab) {
        /* One reference is the caller's, and one its attribute's; a view that is shown somewhere counts as an export. */
        if (streamd_kept < STREAMD_KEPT_SLABS && PyByteArray_CheckExact(slab) && PyByteArray_GET_SIZE(slab) > 0
                && ((PyByteArrayObject *)slab)->ob_exports == 0 && Py_REFCNT(slab) <= 2) {
            Py_INCREF(slab);
            streamd_kept_slabs[streamd_kept++] = slab;
        }
    }

    static inline Py_ssize_t streamd_kept_bytes(void) {
        Py_ssize_t size = 0;
        for (int each = 0; each < streamd_kept; each++) size += PyByteArray_GET_SIZE(streamd_kept_slabs[each]);
        return size;
    }

    static inline void streamd_let_go(void) {
        while (streamd_kept) Py_DECREF(streamd_kept_slabs[--streamd_kept]);
    }

    static inline PyObject *streamd_new_slab(Py_ssize_t size) {
        PyObject *slab;
        if (streamd_kept && PyByteArray_GET_SIZE(streamd_kept_slabs[streamd_kept - 1]) == size)
            return streamd_kept_slabs[--streamd_kept];
        slab = PyByteArray_FromStringAndSize(NULL, size);
    #if defined(__linux__) && defined(MADV_POPULATE_WRITE)
        /* The kernel gives the pages all at once for two thirds of what it takes to fault them in one by one. */
        if (slab != NULL) {
            size_t page = (size_t)sysconf(_SC_PAGESIZE);
            size_t begin = ((size_t)PyByteArray_AS_STRING(slab) + page - 1) & ~(page - 1);
            size_t end = ((size_t)PyByteArray_AS_STRING(slab) + (size_t)size) & ~(page - 1);
            if (end > begin) (void)madvise((void *)begin, end - begin, MADV_POPULATE_WRITE);
        }
    #endif
        return slab;
    }

    static inline const char *streamd_place(PyObject *source, Py_ssize_t start, Py_ssize_t size) {
        const char *first;
        Py_ssize_t length;
        if (PyByteArray_Check(source)) {
            first = PyByteArray_AS_STRING(source);
            length = PyByteArray_GET_SIZE(source);
        } else if (PyBytes_Check(source)) {
            first = PyBytes_AS_STRING(source);
            length = PyBytes_GET_SIZE(source);
        } else {
            PyErr_SetString(PyExc_TypeError, "bytes or bytearray wanted");
            return NULL;
        }
        if (start < 0 || size < 0 || start > length || size > length - start) {
            PyErr_SetString(PyExc_IndexError, "beyond the end of the bytes");
            return NULL;
        }
        return first + start;
    }

    static inline int streamd_copy(
        PyObject *target, Py_ssize_t at, PyObject *source, Py_ssize_t start, Py_ssize_t size
    ) {
        const char *from = streamd_place(source, start, size);
        const char *to = from == NULL ? NULL : streamd_place(target, at, size);
        if (to == NULL) return -1;
        memcpy((char *)to, from, (size_t)size);
        return 0;
    }

    static inline int streamd_starts_with(PyObject *source, Py_ssize_t start, PyObject *first) {
        Py_ssize_t size = PyBytes_GET_SIZE(first);
        const char *from = streamd_place(source, start, size);
        if (from == NULL) return -1;
        return memcmp(from, PyBytes_AS_STRING(first), (size_t)size) == 0;
    }

    static inline int streamd_read_u24(PyObject *source, Py_ssize_t start) {
        const unsigned char *from = (const unsigned char *)streamd_place(source, start, 3);
        return from == NULL ? -1 : from[0] << 16 | from[1] << 8 | from[2];
    }

    static inline void streamd_untrack(PyObject *thing) {
        if (PyObject_IS_GC(thing)) PyObject_GC_UnTrack(thing);
    }

    static inline PyObject *streamd_cut(PyObject *source, Py_ssize_t start, Py_ssize_t size) {
        const char *from = streamd_place(source, start, size);
        return from == NULL ? NULL : PyBytes_FromStringAndSize(from, size);
    }
    """
    bytearray new_slab "streamd_new_slab" (Py_ssize_t size)
    void give_back "streamd_give_back" (object slab)
    Py_ssize_t kept_bytes "streamd_kept_bytes" ()
    void let_go "streamd_let_go" ()
    int copy "streamd_copy" (
        bytearray target, Py_ssize_t at, object source, Py_ssize_t start, Py_ssize_t size
    ) except -1
    bytes cut "streamd_cut" (object source, Py_ssize_t start, Py_ssize_t size)
    int starts_with "streamd_starts_with" (object source, Py_ssize_t start, bytes first) except -1
    int read_u24 "streamd_read_u24" (object source, Py_ssize_t start) except -1
    void untrack "streamd_untrack" (object thing)
