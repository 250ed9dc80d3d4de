"""What the ledger knows about proofs of payment, and the only place where a claim moves from one status to another.

Every function takes a database connection or pool. Each write is one statement with
its event in it, and moves a status only from where it is believed to stand: whoever comes second changes nothing.
"""

import datetime as dt
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ledger.judge import Claim, Transfer
from ledger.sql import Database, load_queries

_queries = load_queries("ledger", "claims.sql")


@dataclass(frozen=True, slots=True)
class ClaimKey:
    """What identifies a claim.

    Attributes:
        user_id: The merchant who asks, if one does.
        recipient: The wallet that is named, if any.
        by_name: The merchant is the one whose wallet is named: only an admin may ask so.
    """

    user_id: str | None
    nonce: str
    signature: str
    payer: str
    recipient: str | None = None
    by_name: bool = False


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
    """The claim that the same proof made before; `code` says why it came to nothing."""

    id: UUID
    status: str
    code: str | None


@dataclass(frozen=True, slots=True)
class ClaimContext:
    """All that the ledger knows about a proof.

    Attributes:
        merchant: Whose money it would be; `None` when nothing says that.
        has_wallets: The merchant has a wallet that is followed.
        named_is_followed: The named wallet is followed now.
        request: The terms of the nonce, where it is registered with this merchant.
        use: Who has used up the nonce.
        known: What the same proof made before.
        transfers: Every movement of the transaction that can be a payment, with its slot by path.
        wallets: Of the destinations of those, the merchant's.
        paid_at: When the transaction was paid; `None` while the ledger does not have it.
    """

    merchant: str | None
    has_wallets: bool
    named_is_followed: bool
    request: RequestedTerms | None
    use: Use | None
    known: Known | None
    transfers: tuple[Transfer, ...]
    slots: dict[str, int]
    wallets: frozenset[str]
    paid_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Terms:
    """A claim with what is stored of it beside what is judged.

    `asked_with` identifies the request that asks for it, where it carries an Idempotency-Key; see `Use`.
    """

    merchant: str
    nonce: str
    signature: str
    claim: Claim
    mint: str
    currency: str
    recipient: str | None = None
    resource: str | None = None
    agent_id: str | None = None
    environment: str = "live"
    asked_with: str | None = None


@dataclass(frozen=True, slots=True)
class Honoured:
    """A claim that has just been given its transfer."""

    id: UUID
    status: str
    claimed_at: dt.datetime


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
    )
    grouped: list[list[Any]] = [[] for _ in keys]
    async for row in rows:
        grouped[row["n"] - 1].append(row)
    return [_context(group) for group in grouped]


def _context(rows: Sequence[Any]) -> ClaimContext:
    first = rows[0]
    moved = [row for row in rows if row["path"] is not None]
    return ClaimContext(
        merchant=first["user_id"],
        has_wallets=first["has_wallets"],
        named_is_followed=first["named_is_followed"],
        request=_request(first) if first["is_registered"] else None,
        use=_use(first) if first["used_id"] is not None else None,
        known=Known(first["proof_id"], first["proof_status"], first["proof_code"]) if first["proof_id"] else None,
        transfers=tuple(map(_transfer, moved)),
        slots={row["path"]: row["slot"] for row in moved},
        wallets=frozenset(row["destination_owner"] for row in moved if row["is_to_merchant"]),
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


def _transfer(row: Mapping[str, Any]) -> Transfer:
    return Transfer(
        path=row["path"],
        mint=row["mint"],
        source_owner=row["source_owner"],
        destination_owner=row["destination_owner"],
        authority=row["authority"],
        credited=row["credited"],
        is_final=row["is_final"],
        is_taken=row["taken_by"] is not None,
        names_another_request=row["names_another"],
    )


async def honour(database: Database, grants: Sequence[tuple[Terms, Transfer]]) -> dict[tuple[str, str], Honoured]:
    """Give new claims their transfers, in one statement and one commit.

    Returns:
        Those that were honoured, by merchant and nonce. One that is missing lost its transfer or its nonce to
        another claim meanwhile, or the transfer was undone: read its context again.
    """
    rows = _queries.honour_claims(
        database,
        user_ids=[terms.merchant for terms, _ in grants],
        nonces=[terms.nonce for terms, _ in grants],
        signatures=[terms.signature for terms, _ in grants],
        paths=[transfer.path for _, transfer in grants],
        payers=[terms.claim.payer for terms, _ in grants],
        currencies=[terms.currency for terms, _ in grants],
        amounts=[terms.claim.amount for terms, _ in grants],
        least_amounts=[terms.claim.least_amount for terms, _ in grants],
        exacts=[terms.claim.exact for terms, _ in grants],
        final_onlys=[terms.claim.final_only for terms, _ in grants],
        resources=[terms.resource for terms, _ in grants],
        agent_ids=[terms.agent_id for terms, _ in grants],
        environments=[terms.environment for terms, _ in grants],
        asked_withs=[terms.asked_with for terms, _ in grants],
    )
    return await _honoured(rows)


async def honour_pending(database: Database, grants: Sequence[tuple[UUID, str]]) -> dict[tuple[str, str], Honoured]:
    """Give pending claims, by id, the transfers of their transactions at these paths. Returns as `honour` does.

    A proof of the same payment that is sent later is answered with yes, once.
    """
    return await _honoured(
        _queries.honour_pending(database, ids=[claim for claim, _ in grants], paths=[path for _, path in grants])
    )


async def honour_asked(
    database: Database, grants: Sequence[tuple[UUID, Terms, Transfer]]
) -> dict[tuple[str, str], Honoured]:
    """Give pending claims, by id, their transfers while their payers ask. Returns as `honour` does.

    What is judged is what they claim now, which may be other than what they did when the claim was recorded.
    """
    return await _honoured(
        _queries.honour_asked(
            database,
            ids=[claim for claim, _, _ in grants],
            paths=[transfer.path for _, _, transfer in grants],
            currencies=[terms.currency for _, terms, _ in grants],
            amounts=[terms.claim.amount for _, terms, _ in grants],
            least_amounts=[terms.claim.least_amount for _, terms, _ in grants],
            exacts=[terms.claim.exact for _, terms, _ in grants],
            final_onlys=[terms.claim.final_only for _, terms, _ in grants],
            resources=[terms.resource for _, terms, _ in grants],
            agent_ids=[terms.agent_id for _, terms, _ in grants],
            asked_withs=[terms.asked_with for _, terms, _ in grants],
        )
    )


async def _honoured(rows: AsyncIterator[Mapping[str, Any]]) -> dict[tuple[str, str], Honoured]:
    return {(row["user_id"], row["nonce"]): Honoured(row["id"], row["status"], row["timestamp"]) async for row in rows}


async def mark_answered(database: Database, claim: UUID, terms: Terms) -> Honoured | None:
    """Note that a proof of this honoured claim is answered with yes; `None` when another request was answered so."""
    row = await _queries.answer_claim(database, id=claim, agent_id=terms.agent_id, asked_with=terms.asked_with)
    return Honoured(row["id"], row["status"], row["timestamp"]) if row else None


async def record_pending(
    database: Database, terms: Terms, *, pending_max: int, pending_of_nonce_max: int = 20
) -> UUID | None:
    """Remember a claim whose transaction is still to come.

    `None` when the merchant has `pending_max` of them already, or `pending_of_nonce_max` with this nonce.
    """
    row = await _queries.record_pending(
        database,
        user_id=terms.merchant,
        nonce=terms.nonce,
        signature=terms.signature,
        payer=terms.claim.payer,
        recipient=terms.recipient,
        mint=terms.mint,
        currency=terms.currency,
        amount=terms.claim.amount,
        least_amount=terms.claim.least_amount,
        exact=terms.claim.exact,
        final_only=terms.claim.final_only,
        resource=terms.resource,
        agent_id=terms.agent_id,
        environment=terms.environment,
        pending_max=pending_max,
        pending_of_nonce_max=pending_of_nonce_max,
    )
    return row["id"] if row else None


async def settle_pending(database: Database, settled: Sequence[tuple[UUID, str, str]]) -> int:
    """Move pending claims to `failed` or `expired`, each with its code; returns how many were still pending."""
    row = await _queries.settle_pending(
        database,
        ids=[claim for claim, _, _ in settled],
        statuses=[status for _, status, _ in settled],
        codes=[code for _, _, code in settled],
    )
    count: int = row["settled"]
    return count


@dataclass(frozen=True, slots=True)
class Followed:
    """How many claims moved with their transfers."""

    finalized: int
    reversed: int
    restored: int
    failed: int


async def follow_transfers(database: Database, *, dead_seconds: float = 3600.0) -> Followed:
    """Bring claims to where their transfers are.

    A claim whose transfer was undone stays reversed for `dead_seconds`, in case it lands again, and then fails.
    """
    row = await _queries.follow_transfers(database, dead_seconds=dead_seconds)
    return Followed(row["finalized"], row["reversed"], row["restored"], row["failed"])
