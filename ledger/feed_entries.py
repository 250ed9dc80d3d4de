"""What each event of the ledger means to merchants: of which type it is for them, whose, and what it says.

This module owns `feed_entries.sql`. Names of events inside the ledger are its own; `FEED_TYPES` are the public ones,
whose JSON is described by the models of `api.events.bodies` and in `docs/events.md`. An event that means nothing to
anybody, or nothing yet, becomes no entry.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledger.amounts import least_equal_amount
from ledger.sql import Database, DatabaseConnection, load_queries
from ledger.states import shown_finality
from ledger.times import epoch_ms
from ledger.tokens import mints_counting_as

_queries = load_queries("ledger", "feed_entries.sql")

_PAYMENTS: Final = {
    "transfer.confirmed": ("payment.received", "confirmed"),
    "transfer.witnessed": ("payment.received", "confirmed"),
    "transfer.landed_again": ("payment.received", "confirmed"),
    "transfer.finalized": ("payment.finalized", "finalized"),
    "transfer.orphaned": ("payment.reversed", "orphaned"),
    "transfer.unmatched": ("unmatched.received", "finalized"),
}
_CLAIMS: Final = {
    "claim.confirmed": ("claim.honoured", "confirmed"),
    "claim.finalized": ("claim.honoured", "confirmed"),
    "claim.reversed": ("claim.reversed", "reversed"),
    "claim.failed": ("claim.refused", "failed"),
    "claim.expired": ("claim.refused", "expired"),
}
_REQUESTS: Final = {"request.expired": "request.expired"}
_JOBS: Final = frozenset({
    "job.pending", "job.accepted", "job.in_progress", "job.completed", "job.approved", "job.disputed", "job.cancelled",
    "job.expired", "job.escrowed", "job.not_funded",
})  # fmt: skip
_PAYOUTS: Final = {"payout.sent": "sent", "payout.settled": "settled", "payout.waiting": "waiting"}
_ACCOUNTS: Final = {"audit.disagreed": "account.gap_found", "audit.agreed": "account.proven"}
_KEYS: Final = frozenset({"key.created", "key.revoked"})
_WEBHOOKS: Final = frozenset({"webhook.test", "webhook.disabled"})
_X402: Final = frozenset({"x402.settled"})

FEED_TYPES: Final[Sequence[str]] = (
    "payment.received", "payment.finalized", "payment.reversed", "unmatched.received",
    "claim.honoured", "claim.refused", "claim.reversed",
    "request.paid", "request.short", "request.expired",
    "x402.settled",
    "job.pending", "job.accepted", "job.in_progress", "job.completed", "job.approved", "job.disputed", "job.cancelled",
    "job.expired", "job.escrowed", "job.not_funded",
    "payout.sent", "payout.settled", "payout.waiting",
    "key.created", "key.revoked",
    "account.gap_found", "account.proven",
    "webhook.test", "webhook.disabled",
)  # fmt: skip
"""Every type that an entry of the feed can have."""


def matching_types(name: str) -> list[str]:
    """The types that a name means: one, every one of a family such as `job.*`, or none."""
    return [one for one in FEED_TYPES if one == name or (name.endswith(".*") and one.startswith(name[:-1]))]


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """A row of `events`, by its id and the ledger's own name of what happened."""

    id: int
    type: str


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """What an event means to one user; `data` is JSON, amounts in base units as text."""

    event_id: int
    type: str
    at: dt.datetime
    user_id: str
    environment: str
    data: Mapping[str, Any]


async def feed_events(connection: DatabaseConnection, events: Sequence[LoggedEvent]) -> list[FeedEvent]:
    """What these events mean, in their order."""
    ids: dict[_Family, list[int]] = defaultdict(list)
    for event in events:
        if (family := _FAMILY_OF.get(event.type)) is not None:
            ids[family].append(event.id)
    made = [meaning for family, of_family in ids.items() async for meaning in _meanings(connection, family, of_family)]
    return sorted(made, key=lambda meaning: meaning.event_id)


async def _meanings(connection: DatabaseConnection, family: "_Family", ids: Sequence[int]) -> AsyncIterator[FeedEvent]:
    async for row in family.rows(connection, ids):
        for kind, data in family.describe(row):
            # What has no wallet counts as live.
            yield FeedEvent(row["event_id"], kind, row["at"], row["user_id"], row["environment"] or "live", data)


def _payment(row: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    kind, landing = _PAYMENTS[row["event_type"]]
    status, finality = shown_finality(landing)
    if kind == "payment.received" and row["needs_witness"]:
        return  # one node alone says so; it becomes news when a second has seen it
    yield (
        kind,
        {
            "signature": row["signature"],
            "path": row["path"],
            "slot": row["slot"],
            "payer": row["payer"],
            "recipient": row["recipient"],
            **_money(row, row["amount"]),
            "feeBaseUnits": str(row["fee"]),
            "status": status,
            "finality": finality,
            "memos": row["memos"],
            "nonce": row["nonce"],
        },
    )
    if kind == "payment.received" and _is_short(row):
        yield (
            "request.short",
            {
                **_request(row, row["request_amount"]),
                "mint": row["request_mint"],
                "decimals": row["request_decimals"],
                "symbol": row["request_symbol"],
                "receivedBaseUnits": str(row["amount"]),
                "signature": row["signature"],
                "path": row["path"],
                "payer": row["payer"],
            },
        )


def _is_short(row: Mapping[str, Any]) -> bool:
    if row["nonce"] is None or row["decimals"] is None or row["mint"] not in mints_counting_as(row["request_mint"]):
        return False
    return bool(row["amount"] < least_equal_amount(row["request_amount"], row["decimals"]))


def _claim(row: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    kind, status = _CLAIMS[row["event_type"]]
    if row["event_type"] == "claim.finalized" and not row["is_first"]:
        return  # it was honoured before, and its payment says that it is final
    finality = row["event_type"].removeprefix("claim.") if kind == "claim.honoured" else None
    yield (
        kind,
        {
            "claimId": str(row["claim_id"]),
            "nonce": row["nonce"],
            "signature": row["signature"],
            "path": row["path"],
            "payer": row["payer"],
            "recipient": row["recipient"],
            **_money(row, row["amount"]),
            "receivedBaseUnits": None if row["received"] is None else str(row["received"]),
            "status": status,
            "finality": finality,
            "code": row["code"],
            "resource": row["resource"],
            "agentId": row["agent_id"],
        },
    )
    if kind == "claim.honoured" and row["for_request"]:
        yield (
            "request.paid",
            {
                **_request(row, row["amount"]),
                "receivedBaseUnits": str(row["received"]),
                "signature": row["signature"],
                "path": row["path"],
                "payer": row["payer"],
            },
        )


def _expired_request(row: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    nothing = {"receivedBaseUnits": None, "signature": None, "path": None, "payer": None}
    yield _REQUESTS[row["event_type"]], {**_request(row, row["amount"]), **nothing}


def _job(row: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield (
        row["event_type"],
        {
            "jobId": str(row["job_id"]),
            "serviceId": str(row["service_id"]),
            "role": row["role"],
            "clientAgentId": row["client_agent_id"],
            "providerAgentId": row["provider_agent_id"],
            **_money(row, row["amount"]),
            "by": row["made_by"],
            "reason": row["reason"],
        },
    )


def _payout(row: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield (
        row["event_type"],
        {
            "payoutId": str(row["payout_id"]),
            "jobId": str(row["job_id"]),
            "role": row["role"],
            "kind": row["kind"],
            "reason": row["reason"],
            "recipient": row["recipient"],
            **_money(row, row["amount"]),
            "status": _PAYOUTS[row["event_type"]],
            "waitingReason": row["waiting_reason"] if row["event_type"] == "payout.waiting" else None,
            "signature": row["signature"],
        },
    )


def _account(row: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield (
        _ACCOUNTS[row["event_type"]],
        {
            "account": row["account"],
            "wallet": row["wallet"],
            "mint": row["mint"],
            "decimals": row["decimals"],
            "symbol": row["symbol"],
            "slot": int(row["slot"]),
            "driftBaseUnits": row["drift"] or "0",
            "gaps": int(row["gaps"] or 0),
        },
    )


def _key(row: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    data = row["data"]
    yield (
        row["event_type"],
        {
            "keyPrefix": row["subject"],
            "environment": data.get("environment"),
            "revokedAt": data.get("revokedAtMs"),
            "replacedBy": data.get("replacedBy"),
        },
    )


def _settlement(row: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    data = row["data"]
    yield (
        row["event_type"],
        {
            "settlementId": row["subject"],
            "signature": data["signature"],
            "amountBaseUnits": data["received"],
            "mint": data["mint"],
            "decimals": row["decimals"],
            "symbol": row["symbol"],
        },
    )


def _webhook(row: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield row["event_type"], {"webhookId": row["data"]["webhookId"], "reason": row["data"]["reason"]}


def _request(row: Mapping[str, Any], amount: int) -> dict[str, Any]:
    return {
        "nonce": row["nonce"],
        "recipient": row["recipient"],
        **_money(row, amount),
        "resource": row["resource"],
        "reference": row["reference"],
        "expiresAt": epoch_ms(row["expires_at"]),
    }


def _money(row: Mapping[str, Any], amount: int) -> dict[str, Any]:
    return {
        "amountBaseUnits": str(amount),
        "mint": row["mint"],
        "decimals": row["decimals"],
        "symbol": row["symbol"],
    }


@dataclass(frozen=True, slots=True)
class _Family:
    """Events that one statement looks up and one function describes: as what, and with which data."""

    rows: Callable[[Database, Sequence[int]], AsyncIterator[Mapping[str, Any]]]
    describe: Callable[[Mapping[str, Any]], Iterator[tuple[str, dict[str, Any]]]]


_FAMILY_OF: Final[Mapping[str, _Family]] = {
    **dict.fromkeys(_PAYMENTS, _Family(lambda connection, ids: _queries.payment_events(connection, ids=ids), _payment)),
    **dict.fromkeys(_CLAIMS, _Family(lambda connection, ids: _queries.claim_events(connection, ids=ids), _claim)),
    **dict.fromkeys(
        _REQUESTS, _Family(lambda connection, ids: _queries.request_events(connection, ids=ids), _expired_request)
    ),
    **dict.fromkeys(_JOBS, _Family(lambda connection, ids: _queries.job_events(connection, ids=ids), _job)),
    **dict.fromkeys(_PAYOUTS, _Family(lambda connection, ids: _queries.payout_events(connection, ids=ids), _payout)),
    **dict.fromkeys(_ACCOUNTS, _Family(lambda connection, ids: _queries.account_events(connection, ids=ids), _account)),
    **dict.fromkeys(_X402, _Family(lambda connection, ids: _queries.named_events(connection, ids=ids), _settlement)),
    **dict.fromkeys(_KEYS, _Family(lambda connection, ids: _queries.named_events(connection, ids=ids), _key)),
    **dict.fromkeys(_WEBHOOKS, _Family(lambda connection, ids: _queries.named_events(connection, ids=ids), _webhook)),
}
