"""Finds out what became of claimed transactions that the ledger lacks.

Nothing is decided by an answer that a node behind the others may have given, by one node alone where there are others,
or by no answer at all. A claim fails only when its transaction is finalized as failed or as moving nobody's money whom
we follow. Nodes keep no history for ever: one that shows nothing of a transaction says neither that it pays us nor that
it does not. Where too few show it, their word decides after a day, unless one of them shows that it pays us.

A claim expires only when its blockhash is dead at the finalized height and a search of the whole history finds
nothing, or when nobody has shown its transaction for a day. A transaction with a durable nonce has no such end: its
claim expires all the same, and is taken up again when it lands, by its payer's proof or by the payment request that it
names.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from uuid import UUID

import structlog

from chain.asking import ask_each
from chain.cluster_rules import BLOCKHASH_LIFETIME_BLOCKS
from chain.decode import MalformedAnswerError, TransactionResult, decode
from chain.landing import LandingState, fates
from chain.lifetimes import Tip, newest_of_all
from chain.node import STATUSES_PER_CALL
from chain.rpc import Endpoint
from ledger.claims import settle_pending
from ledger.index_requests import request_index
from ledger.judge import Outcome
from ledger.sql import load_queries
from worker.context import WorkerContext, deciding_tip

_log = structlog.get_logger(__name__)
_queries = load_queries("worker.claims", "missing.sql")

_FOUND: Final = frozenset({LandingState.SUCCEEDED, LandingState.FAILED, LandingState.UNDECIDED})
# One node that says alone that it has failed keeps open nothing that has died for all.
_ABSENT: Final = frozenset({LandingState.UNKNOWN, LandingState.DISPUTED})
# So long a claim waits for more nodes to show a transaction that some of them have and others do not show.
_SHOWING_MAX: Final = dt.timedelta(days=1)


class _Shown(Enum):
    """What a node shows of a transaction that is on the chain."""

    PAYS_US = auto()
    """It pays somebody whom we follow, or something of it is unexplained and may."""
    PAYS_NOBODY = auto()
    """It is final, and pays nobody whom we follow."""
    NOT_FINAL = auto()
    """It pays nobody whom we follow, and a fork may still decide otherwise."""
    NOTHING = auto()
    """The node has it no more or not yet, or answers something else: that says nothing about it."""


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
    # Asked before the statuses: a history that is searched afterwards reaches further than this.
    tip = await deciding_tip(context)
    signatures = list(dict.fromkeys(claim.signature for claim in claims))
    answers = await context.node.statuses_of_each(signatures)
    stand = dict(zip(signatures, fates(answers, len(signatures), context.node.pool.witnesses), strict=True))
    settled: list[tuple[UUID, str, str]] = []
    paying: list[str] = []
    for signature, fate in stand.items():
        of_it = [claim for claim in claims if claim.signature == signature]
        if fate.landing is LandingState.FAILED:
            settled += [(claim.id, "failed", Outcome.TRANSACTION_FAILED.value) for claim in of_it]
        elif fate.landing is LandingState.SUCCEEDED:
            shown = await _shown_by_each(context, signature)
            if _Shown.PAYS_US in shown:
                paying.append(signature)
            else:
                settled += await _end_of(context, of_it, shown)
    await _note_found(context, [claim for claim in claims if stand[claim.signature].landing in _FOUND])
    if paying:
        asked = await request_index(context.database, paying, "a claim for it is pending")
        decided.missed_payments += asked
        context.metrics.missed.inc(asked)
        if asked:
            _log.warning("missed_payments", transactions=asked, hint="the indexers were asked to record them")
    if settled:
        decided.failed += await settle_pending(context.database, [one for one in settled if one[1] == "failed"])
        decided.expired += await settle_pending(context.database, [one for one in settled if one[1] == "expired"])
    unknown = [claim for claim in claims if stand[claim.signature].landing in _ABSENT]
    if unknown and tip is not None and all(stand[claim.signature].seen_slot >= tip.absolute_slot for claim in unknown):
        decided.expired += await _expire(context, unknown, tip)


async def _end_of(
    context: WorkerContext, claims: Sequence[Missing], shown: Sequence[_Shown]
) -> list[tuple[UUID, str, str]]:
    """What becomes of claims of one transaction of which no node shows that it pays us.

    Args:
        context: The worker's.
        claims: All of that transaction.
        shown: What each node shows that answered.
    """
    enough = context.node.pool.agreeing_min
    if shown.count(_Shown.PAYS_NOBODY) >= enough and _Shown.NOT_FINAL not in shown:
        ended = claims
    else:
        asked = 0
        if _Shown.NOTHING in shown or len(shown) < enough:
            # Some node may show it to an indexer. Only what was asked for in an earlier pass has been waited for.
            asked = await request_index(
                context.database, [claims[0].signature], "a claim for it is pending, and too few nodes show it"
            )
        is_decidable = not asked and (_Shown.PAYS_NOBODY in shown or len(shown) >= enough)
        latest = dt.datetime.now(dt.UTC) - _SHOWING_MAX
        ended = [claim for claim in claims if is_decidable and claim.claimed_at < latest]
    if _Shown.PAYS_NOBODY in shown:
        return [(claim.id, "failed", Outcome.RECIPIENT_MISMATCH.value) for claim in ended]
    return [(claim.id, "expired", Outcome.TRANSACTION_FAILED.value) for claim in ended]


async def _shown_by_each(context: WorkerContext, signature: str) -> list[_Shown]:
    """What each node shows of a transaction that is on the chain; nodes that do not answer are left out."""
    node = context.node

    async def ask(endpoint: Endpoint) -> _Shown:
        final = await node.transaction(signature, commitment="finalized", at=endpoint)
        if (shown := await _shown_in(context, signature, final)) is not _Shown.NOTHING:
            return shown
        shown = await _shown_in(context, signature, await node.transaction(signature, at=endpoint))
        return _Shown.NOT_FINAL if shown is _Shown.PAYS_NOBODY else shown

    shown, _ = await ask_each(node.pool, ask, enough=node.pool.agreeing_min)
    if _Shown.NOTHING in shown and _Shown.PAYS_US not in shown and len(shown) < len(node.pool.endpoints):
        # A slower one may show that it pays us.
        shown, _ = await ask_each(node.pool, ask)
    return shown


async def _shown_in(context: WorkerContext, signature: str, result: TransactionResult | None) -> _Shown:
    """What a node shows by `result`; it says nothing of whether that is final."""
    if result is None:
        return _Shown.NOTHING
    try:
        observation = decode(result)
    except MalformedAnswerError:
        return _Shown.NOTHING
    if observation.signature != signature:
        # A node that answers something else says nothing about this one.
        return _Shown.NOTHING
    owners = {movement.destination_owner for movement in observation.transfers if movement.destination_owner}
    rows = _queries.followed_among(context.database, wallets=list(owners))
    followed = [row["address"] async for row in rows]
    return _Shown.PAYS_US if followed or observation.unexplained else _Shown.PAYS_NOBODY


async def _note_found(context: WorkerContext, claims: Sequence[Missing]) -> None:
    ids = [claim.id for claim in claims if claim.missing_at_height is not None]
    if ids:
        await _queries.note_found(context.database, ids=ids)


async def _expire(context: WorkerContext, claims: Sequence[Missing], tip: Tip) -> int:
    """Expire those that no blockhash can bring to life any more; note when the others were first missed."""
    # Noted at the newest height and held against the finalized one: never too early.
    newest = await newest_of_all(context.node.pool)
    if newest is None:
        return 0
    # What a node once said of the height far too high is corrected; a lower one than before is no news, for one node
    # may be behind another.
    latest_height = newest.block_height + BLOCKHASH_LIFETIME_BLOCKS
    if new := [one.id for one in claims if one.missing_at_height is None or one.missing_at_height > latest_height]:
        await _queries.note_missing(
            context.database, ids=new, height=newest.block_height, lifetime_blocks=BLOCKHASH_LIFETIME_BLOCKS
        )
    seconds = max(context.settings.expire_seconds, BLOCKHASH_LIFETIME_BLOCKS * context.settings.block_seconds_min)
    latest = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)
    dead = [
        (claim.id, "expired", Outcome.TRANSACTION_FAILED.value)
        for claim in claims
        if claim.missing_at_height is not None
        and claim.missing_at_height + BLOCKHASH_LIFETIME_BLOCKS < tip.block_height
        and claim.claimed_at < latest
    ]
    return await settle_pending(context.database, dead) if dead else 0
