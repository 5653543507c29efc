"""Packets, the demuxer and the stream's timeline."""
