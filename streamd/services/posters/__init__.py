"""A picture of each live stream, drawn by a process that may do nothing else."""
