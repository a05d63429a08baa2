"""The database of objects: one interface, SQLite and PostgreSQL behind it."""
