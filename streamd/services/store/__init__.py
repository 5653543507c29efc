"""The database of keys, users and the audit log: its schema, its migrations and its failures."""
