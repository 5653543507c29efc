"""Services that wait and decide: streams, keys, events, pictures."""
