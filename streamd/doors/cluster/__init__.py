"""What nodes say to each other: over NATS to all, and over HTTP to one."""
