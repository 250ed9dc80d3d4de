"""The totals of honoured claims, stored so that no query has to add up millions of claims.

A trigger notes every change of `transactions` that moves a total, in the statement that makes the change; readers add
the notes to the totals and are exact at every moment. Folding the notes into the totals only keeps reading fast. That
totals are what their claims add up to is one of the ledger's invariants.
"""

from typing import Final

from ledger.sql import Database, load_queries

_queries = load_queries("ledger", "totals.sql")


_NOTES_PER_PASS_MAX: Final = 20_000


async def fold_claim_changes(database: Database) -> int:
    """Fold what is noted by now into the totals; returns how many notes that were. Any number may do so at once."""
    folded: int = 0
    while True:
        row = await _queries.fold_claim_changes(database, notes_max=_NOTES_PER_PASS_MAX)
        count: int = row["folded"]
        folded += count
        if count < _NOTES_PER_PASS_MAX:
            break
    await _queries.forget_agent_days(database)
    return folded
