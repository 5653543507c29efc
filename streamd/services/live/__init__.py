"""The streams that are live now, and the requests that wait for their next part."""
