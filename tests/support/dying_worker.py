"""A worker that dies at a step of a payout, what it does afterwards, and what has to be true then."""

import asyncio
import contextlib
import time

from chain.rpc import RpcError
from ledger.jobs import fund_jobs
from tests.support.job_shop import PRICE
from tests.support.ledger_checks import eventually
from worker.claims.decide import reconcile
from worker.escrow import move_jobs_and_payouts
from worker.payouts.crash_points import STEPS, watch_steps

POINTS = [f"{side} {step}" for step in STEPS for side in ("before", "after")]
WITHOUT_END = [point for point in POINTS if not point.endswith(" end")]


class KilledError(BaseException):
    """The process is gone: nothing that follows is executed."""


def dying_at(point):
    async def on_step(reached):
        if reached == point:
            raise KilledError

    return on_step


async def settle_dying(context, point):
    """One pass of a worker that dies at `point`, should it reach it."""
    with watch_steps(dying_at(point)):
        await move_jobs_and_payouts(context)


async def approved_order(shop, context):
    """A job whose money is due to its provider, without any payout yet."""
    order = await shop.order()
    await order.pay()

    async def escrowed():
        with contextlib.suppress(RpcError):
            await reconcile(context)
            await fund_jobs(context.database, limit=100)
        return (await order.row())["escrow_status"] == "escrowed"

    await eventually(escrowed)
    for step in ("accept", "submit", "approve"):
        assert await order.step(step)
    return order


async def work_on(context, order, net, *, seconds=60.0):
    """What the worker does from then on, at a pace; the chain is hurried where a blockhash has to die."""
    deadline = time.monotonic() + seconds
    while (await order.row())["escrow_status"] != "released":
        with contextlib.suppress(RpcError):
            await move_jobs_and_payouts(context)
        await asyncio.sleep(0.1)
        assert time.monotonic() < deadline, [dict(row) for row in await attempts(order)]


async def attempts(order):
    return await order.shop.pool.fetch(
        "SELECT a.outcome, a.error, a.sent_at, a.last_valid_block_height, a.dead_from_slot, p.status::text,"
        " p.waiting_reason FROM payout_attempts AS a JOIN payouts AS p ON p.id = a.payout_id WHERE p.job_id = $1"
        " ORDER BY a.created_at",
        order.id,
    )


async def paid_once(shop, times=1):
    assert await shop.balance(shop.provider.pubkey()) == times * PRICE
    assert await shop.violations() == []
