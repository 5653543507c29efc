"""What waits and decides: streams, keys, events, pictures."""
