"""From the chain to the ledger: follow, fetch, record, heal."""
