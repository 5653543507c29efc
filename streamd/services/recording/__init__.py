"""Recordings: a broadcast's CMAF bytes on disk, their index in the database, and the way back to players."""
