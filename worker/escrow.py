"""Moves jobs on by what time and the ledger say, and sends the payouts that follow."""

from dataclasses import dataclass
from typing import Final

from chain.references import fresh_reference
from ledger import jobs
from ledger.claims import claim_strays, free_nonces
from ledger.sql import load_queries
from worker.context import WorkerContext
from worker.payouts.crash_points import crash_point
from worker.payouts.send import send_payouts

_queries = load_queries("worker", "escrow.sql")

_PER_STATEMENT: Final = 1_000
# Payments that name a job and cannot fund it are looked for among the newest; a sweep looks at all of them.
_RECENT_SLOTS: Final = 5_000
# A payment that was made in time gets so long to be recorded before its job expires unfunded.
_FUNDING_GRACE_SECONDS: Final = 30.0


@dataclass(slots=True)
class JobsMoved:
    """How many jobs and payouts a pass has moved, by the step they took."""

    funded: int = 0
    to_return: int = 0
    approved_by_silence: int = 0
    expired: int = 0
    payouts_made: int = 0
    payouts_settled: int = 0
    payouts_signed: int = 0
    payouts_waiting: int = 0


async def move_jobs_and_payouts(context: WorkerContext, *, sweep: bool = False) -> JobsMoved:
    """One pass: fund, approve, expire, make payouts, send them.

    Any number of workers may do so at once. With `sweep` all payments to settlement wallets are looked at again.

    Raises:
        RpcError: The nodes did not answer about payouts; jobs have moved all the same.
    """
    done = JobsMoved()
    await move_jobs(context, done, sweep=sweep)
    async with crash_point("make"):
        done.payouts_made = await make_payouts(context)
    sent = await send_payouts(context)
    done.payouts_settled, done.payouts_signed, done.payouts_waiting = sent.settled, sent.signed, sent.waiting
    return done


async def move_jobs(context: WorkerContext, done: JobsMoved, *, sweep: bool = False) -> None:
    """Move jobs by what the ledger and the clock say: fund, approve, expire; no node is asked."""
    database, settings = context.database, context.settings
    funding = await jobs.fund_jobs(database, limit=_PER_STATEMENT)
    done.funded, done.to_return = funding.funded, funding.to_return
    await free_nonces(database)
    done.to_return += await _claim_strays(context, sweep=sweep)
    done.approved_by_silence = await jobs.approve_silent_jobs(
        database, review_seconds=settings.review_seconds, limit=_PER_STATEMENT
    )
    done.expired = await jobs.expire_jobs(database, grace_seconds=_FUNDING_GRACE_SECONDS, limit=_PER_STATEMENT)


async def _claim_strays(context: WorkerContext, *, sweep: bool) -> int:
    """Claim what names a job and can never fund it; with `sweep` in every wallet that was ever a job's."""
    settings, signer = context.settings, context.signer
    wallets = {wallet for wallet in (settings.settlement_wallet, signer.address if signer else None) if wallet}
    if sweep:
        wallets |= {row["settlement_wallet"] async for row in _queries.settlement_wallets(context.database)}
    if not wallets:
        return 0
    newest: int = await _queries.newest_slot(context.database, wallets=list(wallets))
    return await claim_strays(
        context.database,
        list(wallets),
        from_slot=0 if sweep else max(newest - _RECENT_SLOTS, 0),
        limit=_PER_STATEMENT,
    )


async def make_payouts(context: WorkerContext) -> int:
    """Make a payout for whatever is to leave; returns how many were made."""
    due = [row async for row in _queries.due_payouts(context.database, limit=_PER_STATEMENT)]
    if not due:
        return 0
    made = _queries.add_payouts(
        context.database,
        claim_ids=[row["claim_id"] for row in due],
        parts=[row["part"] for row in due],
        references=[fresh_reference() for _ in due],
    )
    return len([row async for row in made])
