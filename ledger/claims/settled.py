"""Claims of payments that we signed over x402: what the ledger has of them honours one, and settles the payment.

The function takes a database connection or pool.
"""

from collections.abc import Sequence
from uuid import UUID

from ledger.sql import Database, load_queries

_queries = load_queries("ledger.claims", "settled.sql")


async def claim_settled(database: Database, ids: Sequence[UUID]) -> frozenset[UUID]:
    """Settle those of these settlements whose transfers the ledger has, each with the claim that holds it.

    Args:
        database: A connection or pool.
        ids: Settlements in any status.

    Returns:
        Those that were settled by this call. One that is missing was settled already, or its transfer is not there
        yet, waits for a second node, or is not final where that is asked for.
    """
    return frozenset([row["id"] async for row in _queries.claim_settled(database, ids=list(ids))])
