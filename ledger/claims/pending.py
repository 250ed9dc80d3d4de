"""Claims whose transactions are still to come: remembered, and settled as failed or expired where none comes.

Functions take a database connection or pool.
"""

from collections.abc import Sequence
from uuid import UUID

from ledger.claims.honoured import Terms
from ledger.sql import Database, load_queries

_queries = load_queries("ledger.claims", "pending.sql")


async def record_pending(
    database: Database, terms: Terms, *, pending_max: int, pending_of_nonce_max: int = 20
) -> UUID | None:
    """Remember a claim whose transaction is still to come.

    `None` when the merchant has `pending_max` of them already, or `pending_of_nonce_max` with this nonce.
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
        pending_max=pending_max,
        pending_of_nonce_max=pending_of_nonce_max,
    )
    return row["id"] if row else None


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
