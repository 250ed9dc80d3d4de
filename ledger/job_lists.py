"""Lists of jobs and payouts by where they stand, page by page; each is read from indexes alone."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ledger.jobs import Job, jobs_of_ids
from ledger.sql import Database, DatabasePool, from_row, load_queries, planned_for_its_values
from ledger.states import PayoutStatus

_queries = load_queries("ledger", "job_lists.sql")


@dataclass(frozen=True, slots=True)
class PlaceByTime:
    """Where a page ended: the key of its last row."""

    created_at: dt.datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class ListedPayout:
    """Money that is to leave, or has left, the settlement wallet for a job.

    Attributes:
        kind: `release` to the provider or `refund` to the payer.
        amount: What is owed, in base units of `mint`; of it `charged` stays for the costs of sending it.
        waiting_reason: What is missing, where it waits.
        asked_recipient: The wallet that it is to go to instead, as soon as nothing of it can reach `recipient`.
    """

    id: UUID
    job_id: UUID
    kind: str
    reason: str
    recipient: str
    mint: str
    amount: int
    charged: int
    status: PayoutStatus
    waiting_reason: str | None
    settled_signature: str | None
    created_at: dt.datetime
    settled_at: dt.datetime | None
    asked_recipient: str | None


async def page_of_jobs(
    database: DatabasePool, *, user_id: str | None, statuses: Sequence[str], after: PlaceByTime | None, limit: int
) -> list[Job]:
    """At most `limit` jobs of a user, as client or provider, or of everybody, newest first, from behind `after` on."""
    async with planned_for_its_values(database) as connection:
        wanted = {"statuses": list(statuses), "limit": limit, **_place(after)}
        if user_id is None:
            rows = _queries.page_of_all_jobs(connection, **wanted)
        else:
            rows = _queries.page_of_jobs(connection, user_id=user_id, **wanted)
        return await jobs_of_ids(connection, [row["id"] async for row in rows])


async def page_of_payouts(
    database: DatabasePool, *, statuses: Sequence[str], after: PlaceByTime | None, limit: int
) -> list[ListedPayout]:
    """Everybody's payouts of some statuses: at most `limit`, newest first, beginning behind `after`."""
    async with planned_for_its_values(database) as connection:
        rows = _queries.page_of_payouts(connection, statuses=list(statuses), limit=limit, **_place(after))
        return [from_row(ListedPayout, row) async for row in rows]


async def payouts_of_jobs(database: Database, job_ids: Sequence[UUID]) -> list[ListedPayout]:
    """The payouts of some jobs, oldest first."""
    return [from_row(ListedPayout, row) async for row in _queries.payouts_of_jobs(database, job_ids=list(job_ids))]


def _place(after: PlaceByTime | None) -> dict[str, Any]:
    return {"created_at": after.created_at if after else None, "id": after.id if after else None}
