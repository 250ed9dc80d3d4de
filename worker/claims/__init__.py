"""Decides claims: pending ones, those whose transaction is missing, and payments that name a request."""
