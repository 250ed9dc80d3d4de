"""The reconciliation report: kept up to date by what changes, counted from scratch to check that, and stored."""
