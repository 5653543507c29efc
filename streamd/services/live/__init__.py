"""Streams that are live now, and who waits for their next part."""
