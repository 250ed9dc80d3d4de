"""Redirects of payouts that wait: whoever has the right to asks for another wallet, and the worker changes it.

A payout changes its recipient only while nothing of it can land: a signed transaction that may be on its way pays whom
it names.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from ledger.recipients import RESERVED_START
from ledger.sql import Database, DatabasePool, from_row, load_queries
from ledger.states import PayoutStatus

_queries = load_queries("ledger", "payout_redirects.sql")

REDIRECTABLE: Final = frozenset({PayoutStatus.QUEUED, PayoutStatus.WAITING, PayoutStatus.AWAITING_SIGNATURE})
"""Statuses of a payout that was not signed yet."""


@dataclass(frozen=True, slots=True)
class JobPayout:
    """A payout of a job, from `wallet` to `recipient`; `kind` is `release` or `refund`.

    `environment` is that of the job: `live` or `test`.
    """

    id: UUID
    job_id: UUID
    kind: str
    status: PayoutStatus
    wallet: str
    recipient: str
    provider_user_id: str
    environment: str


def redirect_text(payout_id: UUID, address: str) -> str:
    """What a payout's recipient signs, with ed25519 over its UTF-8 bytes, to have it sent to `address` instead.

    It begins as no nonce may, so that a signature that proves a payment is never one of these.
    """
    return f"{RESERVED_START}payout {payout_id} to {address}"


async def find_payout(database: Database, job_id: UUID | None, payout_id: UUID) -> JobPayout | None:
    """A payout of a job, or of any without `job_id`; `None` where there is none of this id."""
    row = await _queries.payout_of_job(database, job_id=job_id, payout_id=payout_id)
    return from_row(JobPayout, row) if row else None


async def ask_redirect(database: Database, payout: JobPayout, address: str, *, asked_by: str) -> bool:
    """Ask that a payout goes to `address`; false where another wish about it waits, or it goes elsewhere by now."""
    asked = await _queries.ask_redirect(
        database, payout_id=payout.id, from_recipient=payout.recipient, to_recipient=address, asked_by=asked_by
    )
    return asked is not None


async def apply_redirects(pool: DatabasePool) -> int:
    """Send payouts elsewhere as was asked, where nothing of them can land; returns how many."""
    async with pool.acquire() as connection, connection.transaction():
        # Attempts that others are storing are seen by the second statement, and none is stored before the commit.
        await _queries.lock_redirected(connection)
        moved: int = await _queries.apply_redirects(connection)
        return moved
