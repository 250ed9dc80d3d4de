"""Settles payouts that the ledger shows finalized, and with them the escrow, earnings and ratings of their jobs."""

from ledger.sql import Database, load_queries

_queries = load_queries("worker.payouts", "settle.sql")


async def settle_payouts(database: Database) -> int:
    """Settle every payout whose transfer is in the ledger, finalized; returns how many were open until now."""
    return len([row async for row in _queries.settle_payouts(database)])
