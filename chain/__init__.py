"""Solana without a database: addresses, decoding, RPC, subscriptions."""
