"""Publishes what happened: the feed of each user."""
