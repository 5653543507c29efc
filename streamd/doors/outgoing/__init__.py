"""Requests that this server makes, to addresses that it may reach."""
