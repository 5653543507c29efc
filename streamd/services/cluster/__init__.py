"""Many processes, one service: who owns a channel (directory), what all are told (bus), and a stream's parts (feed)."""
