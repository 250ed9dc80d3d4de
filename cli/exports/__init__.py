"""Exports: the queries and the formats."""
