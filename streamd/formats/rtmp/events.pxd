from streamd.formats.flv.tag cimport FlvTag


cpdef bint is_media(list events) except -1
