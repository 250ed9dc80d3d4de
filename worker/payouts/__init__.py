"""Sends payouts, exactly once."""
