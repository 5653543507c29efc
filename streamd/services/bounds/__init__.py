"""What one peer may take of what all share: time of the loop, memory, lines of the log."""
