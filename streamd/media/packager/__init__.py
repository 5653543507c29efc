"""From samples to parts and segments, and the window of them that viewers can fetch."""
