"""Claims that we make ourselves, for payments that name a payment request, or a job that they cannot fund.

Functions take a database connection or pool.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.sql import Database, load_queries

_queries = load_queries("ledger.claims", "matched.sql")


@dataclass(frozen=True, slots=True)
class Match:
    """A transfer that pays the payment request `nonce`, which it names by reference or memo.

    `least_amount` is what counts as the amount, in base units; `agent_id` is the client of the job that it funds.
    """

    nonce: str
    signature: str
    path: str
    payer: str
    least_amount: int
    agent_id: str | None


async def honour_matches(database: Database, matches: Sequence[Match]) -> int:
    """Give payment requests their transfers; returns how many.

    One that is missing was paid otherwise meanwhile, or its transfer was taken or undone.

    Raises:
        asyncpg.UniqueViolationError: Somebody was quicker with one of them while this ran: none was given, try again.
    """
    rows = _queries.honour_requests(
        database,
        nonces=[match.nonce for match in matches],
        signatures=[match.signature for match in matches],
        paths=[match.path for match in matches],
        payers=[match.payer for match in matches],
        least_amounts=[match.least_amount for match in matches],
        agent_ids=[match.agent_id for match in matches],
    )
    return len([row async for row in rows])


async def claim_strays(database: Database, wallets: Sequence[str], *, from_slot: int, limit: int) -> int:
    """Claim finalized payments to `wallets` that name a job and can never fund it, so that they go back.

    Args:
        database: A connection or pool.
        wallets: Settlement wallets.
        from_slot: Payments from this slot on are looked at.
        limit: How many are claimed at most.

    Returns:
        How many were claimed.
    """
    row = await _queries.take_strays(
        database,
        wallets=list(wallets),
        from_slot=from_slot,
        limit=limit,
    )
    taken: int = row["taken"]
    return taken


async def free_nonces(database: Database) -> int:
    """Let claims that could not fund their open jobs leave the jobs' nonces free; returns how many did."""
    freed: int = await _queries.free_nonces(database)
    return freed
