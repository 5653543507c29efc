"""The database of keys, users and acts: its schema, its migrations and its failures."""
