"""402pay's payment ledger for Solana."""
