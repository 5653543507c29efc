"""What OBS is told of the qualities that a user may send."""
