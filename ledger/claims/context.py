"""What the ledger knows about claims before they are judged.

Functions take a database connection or pool.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ledger.judge import Transfer
from ledger.sql import Database, load_queries
from ledger.states import ClaimStatus

_queries = load_queries("ledger.claims", "context.sql")


@dataclass(frozen=True, slots=True)
class ClaimKey:
    """What identifies a claim.

    Attributes:
        user_id: The merchant who asks, if one does.
        recipient: The wallet that is named, if any.
        by_name: The merchant is the one whose wallet is named: only an admin may ask so.
        for_tests: Only wallets that are for tests may be paid: it is asked with a test key.
    """

    user_id: str | None
    nonce: str
    signature: str
    payer: str
    recipient: str | None = None
    by_name: bool = False
    for_tests: bool = False


@dataclass(frozen=True, slots=True)
class RequestedTerms:
    """The terms for which a nonce is registered; `amount` is in base units.

    Attributes:
        final_only: Only a finalized transfer pays it.
        proof_version: The least version of a proof that is accepted.
    """

    recipient: str
    mint: str
    currency: str
    amount: int
    exact: bool
    resource: str | None
    environment: str
    expires_at: dt.datetime
    final_only: bool
    proof_version: int


@dataclass(frozen=True, slots=True)
class Use:
    """The claim that has used up a nonce, with this merchant or by this payer with another.

    `answered_at` is `None` while no proof of it was answered; `asked_with` identifies the request that was, where it
    carried an Idempotency-Key: the hash of the key and its caller, a space, the hash of the request.
    """

    id: UUID
    user_id: str
    signature: str
    path: str
    payer: str
    answered_at: dt.datetime | None
    asked_with: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """The claim as it was recorded before, when its proof was first shown.

    `code` says why it came to nothing, which holds as long as the ledger has nothing of its transaction. `answered_at`
    and `asked_with` are as those of `Use`: it may have been honoured, answered, and undone.
    """

    id: UUID
    status: ClaimStatus
    code: str | None
    answered_at: dt.datetime | None
    asked_with: str | None


@dataclass(frozen=True, slots=True)
class ClaimContext:
    """All that the ledger knows about a claim.

    Attributes:
        merchant: Whose money it would be; `None` when nothing says that.
        has_wallets: The merchant has a wallet that is followed and may be paid.
        is_live: What is asked with a test key is about a live payment request, wallet or claim of the merchant's.
        named_is_followed: The named wallet is followed now.
        request: The terms of the nonce, where it is registered with this merchant.
        use: Who has used up the nonce.
        known: The same claim, where it was recorded before.
        transfers: Every movement of the transaction that can be a payment, with its slot by path.
        awaits_witness: The ledger has something of the transaction that too few nodes have seen.
        wallets: Of the destinations of those, the merchant's.
        paid_at: When the transaction was paid; `None` while the ledger does not have it.
    """

    merchant: str | None
    has_wallets: bool
    is_live: bool
    named_is_followed: bool
    request: RequestedTerms | None
    use: Use | None
    known: Known | None
    transfers: tuple[Transfer, ...]
    awaits_witness: bool
    slots: dict[str, int]
    wallets: frozenset[str]
    paid_at: dt.datetime | None


async def read_contexts(database: Database, keys: Sequence[ClaimKey]) -> list[ClaimContext]:
    """What is known about the claims with these `keys`, in their order, in one statement."""
    rows = _queries.claim_contexts(
        database,
        user_ids=[key.user_id for key in keys],
        nonces=[key.nonce for key in keys],
        signatures=[key.signature for key in keys],
        payers=[key.payer for key in keys],
        recipients=[key.recipient for key in keys],
        by_names=[key.by_name for key in keys],
        for_tests=[key.for_tests for key in keys],
    )
    grouped: list[list[Mapping[str, Any]]] = [[] for _ in keys]
    async for row in rows:
        grouped[row["n"] - 1].append(row)
    return [_context(key, group) for key, group in zip(keys, grouped, strict=True)]


def _context(key: ClaimKey, rows: Sequence[Mapping[str, Any]]) -> ClaimContext:
    first = rows[0]
    moved = [row for row in rows if row["path"] is not None]
    own = [row for row in moved if row["is_to_merchant"]]
    payable = [row for row in own if not (key.for_tests and row["is_to_live_wallet"])]
    return ClaimContext(
        merchant=first["user_id"],
        has_wallets=first["has_wallets"],
        is_live=first["asks_for_live"] or bool(own and not payable),
        named_is_followed=first["named_is_followed"],
        request=_request(first) if first["is_registered"] else None,
        use=_use(first) if first["used_id"] is not None else None,
        known=_known(first) if first["known_id"] is not None else None,
        transfers=tuple(map(_transfer, moved)),
        awaits_witness=first["awaits_witness"],
        slots={row["path"]: row["slot"] for row in moved},
        wallets=frozenset(row["destination_owner"] for row in payable),
        paid_at=min((row["paid_at"] for row in moved), default=None),
    )


def _request(row: Mapping[str, Any]) -> RequestedTerms:
    return RequestedTerms(
        recipient=row["request_recipient"],
        mint=row["request_mint"],
        currency=row["request_currency"],
        amount=row["request_amount"],
        exact=row["request_scheme"] == "exact",
        resource=row["request_resource"],
        environment=row["request_environment"],
        expires_at=row["request_expires_at"],
        final_only=row["request_final_only"],
        proof_version=row["request_proof_version"],
    )


def _use(row: Mapping[str, Any]) -> Use:
    names = ("id", "user_id", "signature", "path", "payer", "answered_at", "asked_with")
    return Use(*(row[f"used_{name}"] for name in names))


def _known(row: Mapping[str, Any]) -> Known:
    names = ("code", "answered_at", "asked_with")
    return Known(row["known_id"], ClaimStatus(row["known_status"]), *(row[f"known_{name}"] for name in names))


def _transfer(row: Mapping[str, Any]) -> Transfer:
    return Transfer(
        path=row["path"],
        mint=row["mint"],
        source_owner=row["source_owner"],
        destination_owner=row["destination_owner"],
        authority=row["authority"],
        credited=row["credited"],
        is_final=row["is_final"],
        is_taken=row["is_taken"],
        names_another_request=row["names_another"],
    )
