"""The whole configuration and the machine: what starts, stops and reloads."""
