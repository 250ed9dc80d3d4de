"""The HTTP API: judges claims by the ledger, and shows what is in it."""
