"""Reports, the cases that they join, decisions, and complaints about them."""
