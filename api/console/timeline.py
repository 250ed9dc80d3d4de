"""The time line of a payment: seen, honoured, final, paid out. This module owns `timeline.sql`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

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
