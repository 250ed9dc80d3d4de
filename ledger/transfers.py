"""The ledger as its merchants see it: the transfers to their wallets, each with the claim that took it."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from ledger.sql import Database, DatabaseConnection, DatabasePool, load_queries, planned_for_its_values
from ledger.states import ClaimStatus

_queries = load_queries("ledger", "transfers.sql")

TRANSFERS_CHANNEL: Final = "transfers"
"""Notifies of signatures that the ledger has something new of, separated by spaces."""

_PLANNED_WALLETS_MAX: Final = 16
"""Up to so many wallets of a user are read one by one: one of them may hold a thousand times as much as another."""


@dataclass(frozen=True, slots=True)
class TakingClaim:
    """The claim that took a transfer."""

    id: UUID
    nonce: str
    status: ClaimStatus


@dataclass(frozen=True, slots=True)
class RecordedTransfer:
    """A transfer in the ledger; amounts are in base units.

    Attributes:
        payer: The owner of the account that it came from, where that is known.
        recipient: The owner of the account that it went to.
        credited: What arrived: the amount without the fee that the token program withheld.
        finality: `confirmed`, `finalized`, `orphaned`, or `pending` while too few nodes have seen it.
        claim: The claim that took it, if one has.
    """

    signature: str
    path: str
    slot: int
    block_time: dt.datetime | None
    kind: str
    mint: str
    payer: str | None
    recipient: str | None
    credited: int
    fee: int
    finality: str
    memos: tuple[str, ...]
    claim: TakingClaim | None


@dataclass(frozen=True, slots=True)
class PlaceInList:
    """Where a page of the ledger ended: the key of its last transfer."""

    slot: int
    signature: str
    path: str


@dataclass(frozen=True, slots=True)
class TransferFilter:
    """Which transfers are wanted; `None` everywhere means all that are to wallets that are registered.

    `finalities` are those of `RecordedTransfer`, `pending` alone if at all; `since` and `until` compare with the time
    at which the ledger recorded the transfer, `until` exclusive.
    """

    user_id: str | None = None
    recipient: str | None = None
    payer: str | None = None
    mint: str | None = None
    finalities: Sequence[str] | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


def recorded_transfer(row: Mapping[str, Any]) -> RecordedTransfer:
    """A row that has the columns of the statements here."""
    taken = row["claim_id"] is not None
    return RecordedTransfer(
        signature=row["signature"],
        path=row["path"],
        slot=row["slot"],
        block_time=row["block_time"],
        kind=row["kind"],
        mint=row["mint"],
        payer=row["source_owner"],
        recipient=row["destination_owner"],
        credited=row["credited"],
        fee=row["fee"],
        finality=row["finality"],
        memos=tuple(row["memos"]),
        claim=TakingClaim(row["claim_id"], row["claim_nonce"], ClaimStatus(row["claim_status"])) if taken else None,
    )


async def page_of_transfers(
    database: DatabasePool, wanted: TransferFilter, *, after: PlaceInList | None, limit: int
) -> list[RecordedTransfer]:
    """At most `limit` of the wanted transfers, newest first, beginning behind `after`."""
    async with planned_for_its_values(database) as connection:
        return [recorded_transfer(row) for row in await _page(connection, wanted, after, limit)]


async def _page(
    connection: DatabaseConnection, wanted: TransferFilter, after: PlaceInList | None, limit: int
) -> list[Mapping[str, Any]]:
    conditions = {
        "recipient": wanted.recipient,
        "payer": wanted.payer,
        "mint": wanted.mint,
        **_finalities(wanted.finalities),
        "since": wanted.since,
        "until": wanted.until,
        "until_slot": wanted.until and await _queries.slot_recorded_before(connection, until=wanted.until),
        "slot": after and after.slot,
        "signature": after and after.signature,
        "path": after and after.path,
        "limit": limit,
    }
    if wanted.user_id is None:
        return [row async for row in _queries.payments_of_everybody(connection, **conditions)]
    whose = {"user_id": wanted.user_id, "recipient": wanted.recipient}
    wallets = [row async for row in _queries.wallets_of_user(connection, limit=_PLANNED_WALLETS_MAX + 1, **whose)]
    if len(wallets) > _PLANNED_WALLETS_MAX:
        rows = _queries.payments_of_many_wallets(connection, user_id=wanted.user_id, **conditions)
        return [row async for row in rows]
    found: list[Mapping[str, Any]] = []
    for wallet in wallets:
        period = {"owned_since": wallet["owned_since"], "owned_until": wallet["owned_until"]}
        page = _queries.payments_of_wallet(connection, **{**conditions, **period, "recipient": wallet["address"]})
        found += [row async for row in page]
    return sorted(found, key=_newest_first)[:limit]


def _finalities(wanted: Sequence[str] | None) -> dict[str, object]:
    """As what the wanted transfers are recorded, and whether they are pending; `None` where that does not matter."""
    if wanted is None:
        return {"finalities": None, "is_pending": None}
    if "pending" in wanted:
        return {"finalities": ["confirmed"], "is_pending": True}
    return {"finalities": list(wanted), "is_pending": False if "confirmed" in wanted else None}


def _newest_first(row: Mapping[str, Any]) -> tuple[int, str, str]:
    return -row["slot"], row["signature"], row["path"]


async def transfers_of_transaction(
    database: Database, signature: str, *, user_id: str | None
) -> list[RecordedTransfer]:
    """The transfers of one transaction to the wallets of a user, or of everybody for `None`."""
    rows = _queries.payments_of_transaction(database, signature=signature, user_id=user_id)
    return [recorded_transfer(row) async for row in rows]


async def signatures_beginning_with(database: Database, beginning: str, *, limit: int) -> list[str]:
    """At most `limit` signatures of recorded transfers that begin with that text, in their order as bytes."""
    rows = _queries.signatures_beginning_with(database, beginning=beginning, limit=limit)
    return [row["signature"] async for row in rows]


async def settled_signatures(database: Database, signatures: Sequence[str]) -> list[str]:
    """Those of these signatures with a transfer that is final, or that a fork has taken off the chain."""
    return [row["signature"] async for row in _queries.settled_signatures(database, signatures=list(signatures))]
