"""Passes over the ledger that nobody waits for: claims, nonces, jobs, payouts, reports."""
