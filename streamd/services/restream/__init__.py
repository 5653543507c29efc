"""A broadcast, passed on to other servers as it comes: targets, and what becomes of them."""
