"""RTMP sockets: an asyncio protocol around the pure connection."""
