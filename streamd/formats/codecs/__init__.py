"""Readers of codec configuration records and of the first bytes of frames."""
