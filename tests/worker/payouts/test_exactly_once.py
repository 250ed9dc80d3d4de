"""Whatever dies and whenever, whatever the chain and its nodes do: a provider is paid exactly once."""

import asyncio
import contextlib
import os
import signal
import sys

import pytest

from chain.rpc import RpcError
from tests.support.dying_worker import (
    POINTS,
    WITHOUT_END,
    KilledError,
    approved_order,
    attempts,
    paid_once,
    settle_dying,
    work_on,
)
from tests.support.job_shop import FAST, fast_settings, secret
from tests.support.ledger_checks import eventually
from worker.context import open_worker_context
from worker.escrow import move_jobs_and_payouts


@pytest.mark.parametrize("point", WITHOUT_END)
async def test_a_worker_that_dies_at_any_step(shop, indexer, context, net, point):
    order = await approved_order(shop, context)
    died = False
    for _ in range(3):
        try:
            await settle_dying(context, point)
        except KilledError:
            died = True
        await asyncio.sleep(0.05)
    assert died
    await work_on(context, order, net)
    await paid_once(shop)
    assert len(await attempts(order)) == 1


@pytest.mark.parametrize("point", POINTS)
async def test_a_transaction_that_never_lands_and_a_worker_that_dies(shop, indexer, context, net, point):
    """Nodes take the transaction and lose it; its blockhash dies; the worker dies at every step of trying again."""
    order = await approved_order(shop, context)
    net.set_faults({"transactionsLost": 1})
    with contextlib.suppress(KilledError):
        await settle_dying(context, point)
    await move_jobs_and_payouts(context)
    assert len(await attempts(order)) == 1
    net.chain.tick(160)

    async def second():
        with contextlib.suppress(KilledError):
            await settle_dying(context, point)
        # What has died once comes back to life and gets on.
        await move_jobs_and_payouts(context)
        return len(await attempts(order)) == 2

    await eventually(second, seconds=30)
    net.set_faults(None)
    await work_on(context, order, net)
    await paid_once(shop)
    outcomes = [row["outcome"] for row in await attempts(order)]
    assert outcomes[0] == "expired"
    assert outcomes[-1] == "settled"
    assert set(outcomes[:-1]) == {"expired"}


@pytest.mark.parametrize("fate", ["dropped", "landed again"])
@pytest.mark.parametrize("point", ["after broadcast", "before settle", "after settle"])
async def test_a_fork_takes_the_payout_back(shop, indexer, context, net, point, fate):
    order = await approved_order(shop, context)
    with contextlib.suppress(KilledError):
        await settle_dying(context, "after broadcast")
    (signature,) = await shop.pool.fetchrow("SELECT signature FROM payout_attempts")
    await eventually(lambda: net.chain.find(signature) is not None)
    net.chain.tick(2)
    net.chain.fork(3, drop=[signature] if fate == "dropped" else [], reland=[] if fate == "dropped" else [signature])
    with contextlib.suppress(KilledError):
        await settle_dying(context, point)
    # The same bytes are sent again: where the fork dropped them they land once more, otherwise they are known already.
    await work_on(context, order, net)
    await paid_once(shop)
    assert len(await attempts(order)) == 1


LIES = {
    "answers lost": {"timeouts": {"rate": 1, "amount": 0.05, "methods": ["sendTransaction"]}},
    "answers broken": {"malformedAnswers": {"rate": 0.5, "methods": ["sendTransaction", "getEpochInfo"]}},
    "behind": {"nodeBehindSlots": 30},
    "no history": {"emptyPages": 1, "nullTransactions": 0.5, "transactionsLost": {"rate": 0.5}},
    "errors": {"rpcErrors": {"rate": 0.3}, "serverErrors": {"rate": 0.2}},
    "lost and behind": {"transactionsLost": {"rate": 0.7}, "nodeBehindSlots": 10},
}


@pytest.mark.parametrize("lie", LIES)
async def test_nodes_that_lie(shop, indexer, net, database_url, lie):
    """The worker's node lies, the indexer's does not; the worker dies again and again meanwhile."""
    from localnet import Localnet

    async with Localnet.start(chain=net.chain, seed=7) as liar:
        settings = fast_settings(SETTLEMENT_KEYPAIR=secret(shop.wallet))
        async with open_worker_context(settings, database_url, [liar.rpc_url]) as context:
            orders = [await approved_order(shop, context) for _ in range(2)]
            liar.set_faults(LIES[lie])
            for point in WITHOUT_END:
                # Cut short after two seconds: one more way to die, at any moment.
                with contextlib.suppress(KilledError, RpcError, TimeoutError):
                    async with asyncio.timeout(2.0):
                        await settle_dying(context, point)
                net.chain.tick(25)
            assert liar.hazard.struck or "nodeBehindSlots" in LIES[lie]
            liar.set_faults(None)
            for order in orders:
                await work_on(context, order, net)
    await paid_once(shop, times=2)


async def test_a_worker_killed_for_good_at_every_step(shop, indexer, context, net, database_url):
    """SIGKILL, in a process of its own, before and after every step of one payout after the other."""
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "SOLANA_RPC_URL": net.rpc_url,
        "SETTLEMENT_KEYPAIR": secret(shop.wallet),
        "LOG_LEVEL": "error",
        **{name: str(value) for name, value in FAST.items()},
    }
    for number, point in enumerate(WITHOUT_END, start=1):
        order = await approved_order(shop, context)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.worker.payouts.killed",
            point,
            env=environment,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert await process.wait() == -signal.SIGKILL, point
        await work_on(context, order, net)
        await paid_once(shop, times=number)
        assert len(await attempts(order)) == 1, point
