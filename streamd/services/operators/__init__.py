"""The people who act through the admin API: their names, their roles and their tokens."""
