"""Bytes in, values out: no clock, socket, log or await."""
