"""Bounds of one peer's share in common resources: time of the loop, memory, lines of the log."""
