"""The configuration that OBS gets: the qualities that a user may send."""
