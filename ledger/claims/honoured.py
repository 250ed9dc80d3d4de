"""Claims that are given their transfers because a payer has shown a proof, and those proofs' answers.

Functions take a database connection or pool.
"""

import datetime as dt
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ledger.judge import Claim, Transfer
from ledger.sql import Database, load_queries
from ledger.states import ClaimStatus

_queries = load_queries("ledger.claims", "honoured.sql")


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
    status: ClaimStatus
    claimed_at: dt.datetime


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
    """Give known claims that hold no transfer, by id, theirs while their payers ask. Returns as `honour` does.

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
            environments=[terms.environment for _, terms, _ in grants],
            asked_withs=[terms.asked_with for _, terms, _ in grants],
        )
    )


async def _honoured(rows: AsyncIterator[Mapping[str, Any]]) -> dict[tuple[str, str], Honoured]:
    return {(row["user_id"], row["nonce"]): _honoured_row(row) async for row in rows}


def _honoured_row(row: Mapping[str, Any]) -> Honoured:
    return Honoured(row["id"], ClaimStatus(row["status"]), row["timestamp"])


async def mark_answered(database: Database, claim: UUID, terms: Terms) -> Honoured | None:
    """Note that a proof of this honoured claim is answered with yes; `None` when another request was answered so."""
    row = await _queries.answer_claim(database, id=claim, agent_id=terms.agent_id, asked_with=terms.asked_with)
    return _honoured_row(row) if row else None
