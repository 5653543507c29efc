"""Evidence of what was reported: kept, chained, stamped, read."""
