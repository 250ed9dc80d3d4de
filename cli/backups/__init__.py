"""Backups: taking, keeping and restoring them."""
