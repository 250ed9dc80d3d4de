"""Keep analytics fast: fold what claims have noted about their totals, and tell where totals are wrong."""

from typing import Any

from pay402.ledger.totals import fold_claim_changes, totals_that_disagree
from pay402.runtime.sql import load_queries

_queries = load_queries("pay402.ledger", "totals.sql")


async def fold_totals(database: Any) -> int:
    """One pass; returns how many notes were folded. Without it analytics stay exact and grow slow."""
    return await fold_claim_changes(database, _queries)


async def wrong_totals(database: Any) -> list[Any]:
    """Totals that are not what their claims add up to. Reads every claim: for doctors, not for dashboards."""
    return await totals_that_disagree(database, _queries)
