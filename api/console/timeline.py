"""The time line of a payment: seen, honoured, final, paid out. This module owns `timeline.sql`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from api.payments.bodies import PaymentBody
from ledger.sql import Database, load_queries
from ledger.times import epoch_ms

_queries = load_queries("api.console", "timeline.sql")

_MOMENTS_MAX: Final = 200
# What the ledger logs, as people say it; what is not here is the ledger's own business.
_SAID: Final = {
    "transfer.confirmed": "Seen: confirmed on chain and recorded",
    "transfer.landed_again": "Seen again: it landed anew",
    "transfer.witnessed": "Seen by a second node",
    "transfer.contested": "Contradicted by another node: not honoured until that is decided",
    "transfer.finalized": "Final: it can never be undone",
    "transfer.orphaned": "Undone: its fork was abandoned",
    "transfer.unmatched": "Nobody has claimed it in time",
    "claim.pending": "Claimed: its transfer was not recorded yet",
    "claim.confirmed": "Honoured: a claim took it",
    "claim.finalized": "Honoured for good",
    "claim.reversed": "No longer honoured: its transfer was undone",
    "claim.failed": "The claim was refused",
    "claim.expired": "The claim has expired",
    "payout.queued": "To be paid out",
    "payout.sent": "Paid out: on its way",
    "payout.waiting": "The payout waits",
    "payout.settled": "Paid out, finally",
}
_SAID_OF_JOBS: Final = {
    "job.pending": "Ordered",
    "job.accepted": "Accepted by the provider",
    "job.in_progress": "Work has begun",
    "job.completed": "Submitted",
    "job.approved": "Approved: the provider is to be paid",
    "job.disputed": "Disputed: the money stays until an admin decides",
    "job.cancelled": "Cancelled: what was paid goes back",
    "job.expired": "Expired: what was paid goes back",
    "job.escrowed": "Funded: the price is held",
    "job.not_funded": "A payment that could not fund it goes back",
    "payout.queued": "A payout is to be sent",
    "payout.sent": "A payout is on its way",
    "payout.waiting": "A payout waits",
    "payout.settled": "A payout has arrived, finally",
    "payout.attempt_ended": "A try to send a payout has ended",
    "payout.redirect_asked": "Another wallet was asked for",
    "payout.redirected": "A payout goes to another wallet",
}
_SAID_OF_SETTLEMENTS: Final = {
    "x402.signed": "Checked, reserved and signed by the fee payer",
    "x402.settled": "Settled: the ledger has its transfer",
    "x402.failed": "Failed",
    "x402.undone": "Undone by a fork: the same bytes are sent again",
}


@dataclass(frozen=True, slots=True)
class LoggedMoment:
    """Something that happened to a job and its money, or to a settlement; `at` in milliseconds since 1970."""

    at: int
    said: str
    done_by: str | None
    reason: str | None
    signature: str | None


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to a payment; `at` in milliseconds since 1970."""

    at: int
    said: str
    path: str | None
    code: str | None


async def timeline_of(database: Database, signature: str, payments: Collection[PaymentBody]) -> Sequence[Moment]:
    """What happened to `payments`, all of one transaction, the oldest first."""
    claims = [payment.claim.id for payment in payments if payment.claim is not None]
    paths = {payment.path for payment in payments}
    rows = _queries.moments(database, signature=signature, claims=claims, limit=_MOMENTS_MAX)
    # Of a transaction that pays several merchants each sees what is its own.
    return [
        Moment(epoch_ms(row["at"]), _SAID[row["type"]], row["path"], row["code"])
        async for row in rows
        if row["type"] in _SAID and (row["subject"] != signature or row["path"] in paths)
    ]


async def timeline_of_job(database: Database, job_id: UUID) -> Sequence[LoggedMoment]:
    """What happened to a job and to its payouts, the oldest first."""
    rows = _queries.moments_of_job(database, job_id=str(job_id), limit=_MOMENTS_MAX)
    return [_logged(row, _SAID_OF_JOBS) async for row in rows if row["type"] in _SAID_OF_JOBS]


async def timeline_of_settlement(database: Database, settlement_id: UUID) -> Sequence[LoggedMoment]:
    """What happened to a payment over x402, the oldest first."""
    rows = _queries.moments_of_settlement(database, settlement_id=str(settlement_id), limit=_MOMENTS_MAX)
    return [_logged(row, _SAID_OF_SETTLEMENTS) async for row in rows if row["type"] in _SAID_OF_SETTLEMENTS]


def _logged(row: Mapping[str, Any], said: Mapping[str, str]) -> LoggedMoment:
    return LoggedMoment(epoch_ms(row["at"]), said[row["type"]], row["done_by"], row["reason"], row["signature"])
