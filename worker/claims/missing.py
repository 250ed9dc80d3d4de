"""Finds out what became of claimed transactions that the ledger lacks.

Nothing is decided by an answer that a node behind the others may have given, or by no answer at all: a claim fails
only when its transaction is finalized as failed or as moving nobody's money whom we follow, and expires only when its
blockhash is dead at the finalized height and a search of the whole history finds nothing. A transaction with a
durable nonce has no such end: its claim expires all the same, and its payer proves it anew.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from chain.cluster_rules import BLOCKHASH_LIFETIME_BLOCKS
from chain.decode import MalformedAnswerError, decode
from chain.node import STATUSES_PER_CALL, SignatureStatus
from ledger.claims import settle_pending
from ledger.index_requests import request_index
from ledger.judge import Outcome
from ledger.sql import load_queries
from worker.context import WorkerContext

_log = structlog.get_logger(__name__)
_queries = load_queries("worker.claims", "missing.sql")


@dataclass(frozen=True, slots=True)
class Missing:
    """A pending claim whose transaction the ledger lacks."""

    id: UUID
    signature: str
    claimed_at: dt.datetime
    missing_at_height: int | None
    is_overdue: bool


@dataclass(slots=True)
class MissingDecided:
    """What became of them; the rest is still pending."""

    failed: int = 0
    expired: int = 0
    missed_payments: int = 0


async def settle_missing(context: WorkerContext, claims: Sequence[Missing]) -> MissingDecided:
    """Ask the chain about `claims`, and settle those whose fate is sure.

    Raises:
        RpcError: The nodes did not answer; the rest is as it was.
    """
    decided = MissingDecided()
    for start in range(0, len(claims), STATUSES_PER_CALL):
        await _settle_batch(context, claims[start : start + STATUSES_PER_CALL], decided)
    return decided


async def _settle_batch(context: WorkerContext, claims: Sequence[Missing], decided: MissingDecided) -> None:
    finalized_slot = await context.node.slot("finalized")
    signatures = list(dict.fromkeys(claim.signature for claim in claims))
    seen_slot, answers = await context.node.signature_statuses(signatures)
    statuses = dict(zip(signatures, answers, strict=True))
    settled: list[tuple[UUID, str, str]] = []
    to_index: list[str] = []
    for signature, status in statuses.items():
        if status is None or status.confirmation_status == "processed":
            continue
        refusal = await _refusal(context, signature, status)
        if refusal is None:
            to_index.append(signature)
        elif status.confirmation_status == "finalized":
            settled += [(claim.id, "failed", refusal.value) for claim in claims if claim.signature == signature]
    await _note_found(context, [claim for claim in claims if statuses[claim.signature] is not None])
    if to_index:
        asked = await request_index(context.database, to_index, "a claim for it is pending")
        decided.missed_payments += asked
        context.metrics.missed.inc(asked)
        if asked:
            _log.warning("missed_payments", transactions=asked, hint="the indexers were asked to record them")
    if settled:
        decided.failed += await settle_pending(context.database, settled)
    unknown = [claim for claim in claims if statuses[claim.signature] is None]
    if unknown and seen_slot >= finalized_slot:
        decided.expired += await _expire(context, unknown)


async def _refusal(context: WorkerContext, signature: str, status: SignatureStatus) -> Outcome | None:
    """Why a transaction that is on the chain pays nobody whom we follow; `None` when it does, or may."""
    if status.err is not None:
        return Outcome.TRANSACTION_FAILED
    result = await context.node.transaction(signature)
    if result is None:
        return None
    try:
        observation = decode(result)
    except MalformedAnswerError:
        return None
    if observation.signature != signature:
        # A node that answers something else says nothing about this one.
        return None
    owners = {movement.destination_owner for movement in observation.transfers if movement.destination_owner}
    rows = _queries.followed_among(context.database, wallets=list(owners))
    followed = [row["address"] async for row in rows]
    return None if followed or observation.unexplained else Outcome.RECIPIENT_MISMATCH


async def _note_found(context: WorkerContext, claims: Sequence[Missing]) -> None:
    ids = [claim.id for claim in claims if claim.missing_at_height is not None]
    if ids:
        await _queries.note_found(context.database, ids=ids)


async def _expire(context: WorkerContext, claims: Sequence[Missing]) -> int:
    """Expire those that no blockhash can bring to life any more; note when the others were first missed."""
    # Noted at the newest height and held against the finalized one: never too early.
    newest = await context.node.block_height("processed")
    height = await context.node.block_height("finalized")
    new = [claim.id for claim in claims if claim.missing_at_height is None]
    if new:
        await _queries.note_missing(context.database, ids=new, height=newest)
    latest = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=context.settings.expire_seconds)
    dead = [
        (claim.id, "expired", Outcome.TRANSACTION_FAILED.value)
        for claim in claims
        if claim.missing_at_height is not None
        and claim.missing_at_height + BLOCKHASH_LIFETIME_BLOCKS < height
        and claim.claimed_at < latest
    ]
    return await settle_pending(context.database, dead) if dead else 0
