"""Webhooks: addresses that are sent what happens to a caller's money."""
