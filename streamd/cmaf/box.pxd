cpdef bytes box_header(bytes box_type, Py_ssize_t content_bytes)

cpdef bytes full_box(bytes box_type, int version, unsigned int flags, bytes content)
