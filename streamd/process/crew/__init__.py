"""Several processes of one server on the same ports: what the supervisor decides, and how it and its workers speak."""
