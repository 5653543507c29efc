"""Moderation: what is reported, seen, decided and taken down, by people with names."""
