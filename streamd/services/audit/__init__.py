"""The audit log: changes and refusals, each with its actor."""
