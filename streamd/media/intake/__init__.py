"""Which tags of a publisher go on, and what opens when."""
