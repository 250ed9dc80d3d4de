"""Lists of settlements by where they stand, page by page, and what their fees may still cost today."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from ledger.settlements import BudgetScope
from ledger.sql import Database, DatabasePool, from_row, load_queries, planned_for_its_values

_queries = load_queries("ledger", "settlement_lists.sql")


@dataclass(frozen=True, slots=True)
class SettlementTerms:
    """What a settlement was for and what it costs, in lamports.

    Attributes:
        request_nonce: The payment request that its memo names, which it pays.
        lamports_reserved: The most that its fee can be.
        lamports_spent: What its fee was; `None` while it is under way.
    """

    fee_payer: str
    memo: str | None
    request_nonce: str | None
    resource: str | None
    lamports_reserved: int
    lamports_spent: int | None
    sent_at: dt.datetime | None


async def page_of_settlements(
    database: DatabasePool,
    *,
    user_id: str | None,
    statuses: Sequence[str],
    after: tuple[dt.datetime, UUID] | None,
    limit: int,
) -> list[UUID]:
    """The ids of at most `limit` settlements of a merchant or of everybody, newest first, from behind `after` on."""
    created_at, last = after or (None, None)
    async with planned_for_its_values(database) as connection:
        wanted = {"statuses": list(statuses), "created_at": created_at, "id": last, "limit": limit}
        if user_id is None:
            rows = _queries.page_of_all_settlements(connection, **wanted)
        else:
            rows = _queries.page_of_settlements(connection, user_id=user_id, **wanted)
        return [row["id"] async for row in rows]


async def terms_of_settlement(database: Database, settlement_id: UUID) -> SettlementTerms | None:
    """What a settlement was for and what it costs; `None` where there is none of this id."""
    row = await _queries.terms_of_settlement(database, id=settlement_id)
    return from_row(SettlementTerms, row) if row else None


async def reserved_today(database: Database, user_id: str) -> Mapping[BudgetScope, int]:
    """The lamports that fees of today, in UTC, have reserved: of the budget for all, and of a merchant's."""
    rows = _queries.budgets_of_day(database, user_id=user_id)
    return {BudgetScope(row["scope"]): row["lamports"] async for row in rows}
