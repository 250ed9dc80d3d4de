"""A real Postgres and a real Valkey in a directory, from wheels."""
