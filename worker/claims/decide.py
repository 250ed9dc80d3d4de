"""Decides pending claims by what the ledger holds, a page of them at a time.

What the ledger lacks is left to `missing.py`, payments that nobody claims to `match_requests.py`.
"""

import datetime as dt
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from ledger.claims import ClaimContext, ClaimKey, follow_transfers, honour_pending, read_contexts, settle_pending
from ledger.judge import Claim, Outcome, Standing, judge
from ledger.sql import from_row, load_queries
from ledger.tokens import mints_counting_as
from worker.claims.match_requests import match_new_payments
from worker.claims.missing import Missing, settle_missing
from worker.context import WorkerContext

_log = structlog.get_logger(__name__)
_queries = load_queries("worker.claims", "decide.sql")

_BEGINNING: Final = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), UUID(int=0))


@dataclass(frozen=True, slots=True)
class PendingClaim:
    """A claim that is still to be decided; amounts are in base units of `mint`.

    Attributes:
        recipient: The wallet that its payer named, `None` where any of the merchant's will do.
        for_tests: It was claimed with a test key, for which no live wallet may be paid.
        missing_at_height: The block height at which no node knew its transaction, `None` where it was not missed.
        is_overdue: The indexer has had its time to record the transaction.
    """

    id: UUID
    user_id: str
    nonce: str
    signature: str
    payer: str
    recipient: str | None
    mint: str
    amount: int
    least_amount: int
    exact: bool
    final_only: bool
    for_tests: bool
    missing_at_height: int | None
    timestamp: dt.datetime
    is_overdue: bool


@dataclass(slots=True)
class Reconciled:
    """What a pass made of the claims it looked at."""

    looked_at: int = 0
    honoured: int = 0
    refused: int = 0
    expired: int = 0
    missed_payments: int = 0
    still_pending: int = 0
    matched_by_reference: int = 0
    finalized: int = 0
    reversed: int = 0


async def reconcile(context: WorkerContext) -> Reconciled:
    """One pass over every pending claim and every payment that names a request.

    Any number of workers may do so at once: each claim is decided by compare-and-set.

    Raises:
        RpcError: The nodes did not answer about what the ledger lacks; what it holds is decided.
    """
    done = Reconciled()
    # First, so that what is decided below takes one step in one pass: the next one makes it final.
    followed = await follow_transfers(context.database)
    done.finalized, done.reversed = followed.finalized, followed.reversed
    done.matched_by_reference = await match_new_payments(context)
    missing: list[Missing] = []
    async for page in _pages(context):
        missing += await _decide(context, page, done)
    overdue = [one for one in missing if one.is_overdue]
    done.still_pending += len(missing) - len(overdue)
    if overdue:
        decided = await settle_missing(context, overdue)
        done.refused += decided.failed
        done.expired += decided.expired
        done.missed_payments += decided.missed_payments
        done.still_pending += len(overdue) - decided.failed - decided.expired
    return done


async def _pages(context: WorkerContext) -> AsyncIterator[list[PendingClaim]]:
    """Pending claims, page by page; what is decided meanwhile does not move the pages."""
    after = _BEGINNING
    while True:
        rows = _queries.pending_claims(
            context.database,
            after_timestamp=after[0],
            after_id=after[1],
            limit=context.settings.page_size,
            grace_seconds=context.settings.grace_seconds,
        )
        page = [from_row(PendingClaim, row) async for row in rows]
        if page:
            yield page
            after = page[-1].timestamp, page[-1].id
        if len(page) < context.settings.page_size:
            return


async def _decide(context: WorkerContext, page: Sequence[PendingClaim], done: Reconciled) -> list[Missing]:
    """Decide a page; answers the claims whose transactions the ledger lacks."""
    keys = [
        ClaimKey(one.user_id, one.nonce, one.signature, one.payer, one.recipient, for_tests=one.for_tests)
        for one in page
    ]
    known = await read_contexts(context.database, keys)
    grants: list[tuple[UUID, str]] = []
    refusals: list[tuple[UUID, str, str]] = []
    missing: list[Missing] = []
    # Within a page the database does not know yet what is about to be given away.
    taken: set[tuple[str, str]] = set()
    used: set[tuple[str, str]] = set()
    for pending, facts in zip(page, known, strict=True):
        verdict = judge(
            _claim(pending, facts),
            [replace(t, is_taken=t.is_taken or (pending.signature, t.path) in taken) for t in facts.transfers],
            standing=Standing(is_in_time=_is_in_time(facts), is_nonce_free=facts.use is None),
        )
        if verdict.outcome is Outcome.PAYMENT_PENDING:
            missing.append(
                Missing(pending.id, pending.signature, pending.timestamp, pending.missing_at_height, pending.is_overdue)
            )
        elif verdict.outcome is Outcome.NOT_FINALIZED or used & _uses(pending):
            done.still_pending += 1
        elif verdict.is_honoured:
            assert verdict.transfer is not None
            grants.append((pending.id, verdict.transfer.path))
            taken.add((pending.signature, verdict.transfer.path))
            used |= _uses(pending)
        elif any((pending.signature, t.path) in taken for t in facts.transfers):
            # Whoever is about to take it may yet lose it: the next pass knows.
            done.still_pending += 1
        else:
            refusals.append((pending.id, "failed", verdict.outcome.value))
    done.looked_at += len(page)
    done.honoured += await _grant(context, grants)
    if refusals:
        done.refused += await settle_pending(context.database, refusals)
    return missing


def _uses(pending: PendingClaim) -> set[tuple[str, str]]:
    """What an honoured claim uses up: the nonce with its merchant, and its payer's signature over the nonce."""
    return {(pending.user_id, pending.nonce), (pending.payer, pending.nonce)}


def _is_in_time(facts: ClaimContext) -> bool:
    """False for a payment request that had expired when it was paid, whenever the claim was made."""
    return facts.request is None or facts.paid_at is None or facts.paid_at <= facts.request.expires_at


def _claim(pending: PendingClaim, known: ClaimContext) -> Claim:
    named = pending.recipient
    return Claim(
        payer=pending.payer,
        recipients=known.wallets if named is None else known.wallets & {named},
        mints=mints_counting_as(pending.mint),
        amount=pending.amount,
        least_amount=pending.least_amount,
        exact=pending.exact,
        final_only=pending.final_only,
    )


async def _grant(context: WorkerContext, grants: Sequence[tuple[UUID, str]]) -> int:
    """Honour claims; those that another process was quicker with are left to the next pass."""
    if not grants:
        return 0
    for attempt in (1, 2):
        try:
            return len(await honour_pending(context.database, grants))
        except asyncpg.UniqueViolationError:
            # Somebody took one of these transfers between our look and our step; the whole statement was undone.
            _log.info("claims_raced", claims=len(grants), attempt=attempt)
    return 0
