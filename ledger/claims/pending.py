"""Claims whose transactions are still to come: remembered, and settled as failed or expired where none comes.

Functions take a database connection or pool.
"""

import hashlib
from collections.abc import Sequence
from uuid import UUID

from ledger.claims.honoured import Terms
from ledger.sql import Database, load_queries

_queries = load_queries("ledger.claims", "pending.sql")


async def record_pending(
    database: Database, terms: Terms, *, client: str | None, pending_max: int, pending_of_nonce_max: int = 20
) -> UUID | None:
    """Remember a claim whose transaction is still to come.

    Args:
        database: A connection or pool.
        terms: What is claimed.
        client: The address of whoever claims without a key, `None` for whoever has one.
        pending_max: How many the merchant's keys may have pending, and as many strangers.
        pending_of_nonce_max: The same of those with one nonce.

    Returns:
        Its id; `None` where there is no room for it. A stranger's claim takes the place of another's.

    Raises:
        asyncpg.UniqueViolationError: Another request of the same claim was quicker: it is remembered.
    """
    row = await _queries.record_pending(
        database,
        user_id=terms.merchant,
        nonce=terms.nonce,
        signature=terms.signature,
        payer=terms.claim.payer,
        recipient=terms.recipient,
        mint=terms.mint,
        currency=terms.currency,
        amount=terms.claim.amount,
        least_amount=terms.claim.least_amount,
        exact=terms.claim.exact,
        final_only=terms.claim.final_only,
        resource=terms.resource,
        agent_id=terms.agent_id,
        environment=terms.environment,
        claimed_from=None if client is None else _client_hash(terms.merchant, client),
        pending_max=pending_max,
        pending_of_nonce_max=pending_of_nonce_max,
    )
    return row["id"] if row else None


def _client_hash(merchant: str, client: str) -> int:
    """16 bits by which the claims of one client at one merchant are told from those of most others."""
    digest = hashlib.sha256(f"{merchant}\0{client}".encode()).digest()
    return int.from_bytes(digest[:2], signed=True)


async def settle_pending(database: Database, settled: Sequence[tuple[UUID, str, str]]) -> int:
    """Move pending claims to `failed` or `expired`, each with its code; returns how many were still pending."""
    row = await _queries.settle_pending(
        database,
        ids=[claim for claim, _, _ in settled],
        statuses=[status for _, status, _ in settled],
        codes=[code for _, _, code in settled],
    )
    count: int = row["settled"]
    return count
