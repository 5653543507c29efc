"""RTMP 1.0 (2012), the server side of publishing, sans-I/O: bytes in, events out."""
