"""Payouts under everything at once, at random: kills, forks, lost transactions, nodes that lie to worker and indexer.

A seed that fails replays its choices: `PAYOUT_SEEDS=100-130 make test ARGS=tests/worker/payouts/test_payout_chaos.py`.
"""

import asyncio
import contextlib
import os
import random

import pytest

from chain.rpc import RpcError
from indexer.main import running_indexer
from localnet import Localnet
from tests.support.dying_worker import (
    POINTS,
    KilledError,
    approved_order,
    attempts,
    paid_once,
    settle_dying,
    work_on,
)
from tests.support.job_shop import fast_settings, secret
from tests.support.ledger_checks import eventually
from tests.support.ledger_checks import fast_settings as fast_indexer
from worker.context import open_worker_context

FIRST, _, LAST = os.environ.get("PAYOUT_SEEDS", "1-2").partition("-")
SEEDS = range(int(FIRST), int(LAST or FIRST) + 1)
ROUNDS = 25
LIES = [
    {"transactionsLost": {"rate": 0.6}},
    {"nodeBehindSlots": 20},
    {"emptyPages": 0.7},
    {"nullTransactions": 0.5},
    {"rpcErrors": {"rate": 0.3}},
    {"serverErrors": {"rate": 0.3}},
    {"malformedAnswers": {"rate": 0.3}},
    {"timeouts": {"rate": 0.3, "amount": 0.02, "methods": ["sendTransaction"]}},
    {"truncatedPages": 0.5},
]


@pytest.mark.parametrize("seed", SEEDS)
async def test_everything_at_random(shop, net, database_url, seed):
    dice = random.Random(seed)
    async with (
        Localnet.start(chain=net.chain, seed=seed) as workers_node,
        Localnet.start(chain=net.chain, seed=seed + 1) as indexers_node,
        running_indexer(
            fast_indexer(INDEXER_AUDIT_SECONDS=0.5, INDEXER_FINALIZE_SECONDS=0.2),
            database_url,
            [indexers_node.rpc_url],
            [indexers_node.ws_url],
        ) as indexer,
        open_worker_context(
            fast_settings(SETTLEMENT_KEYPAIR=secret(shop.wallet)), database_url, [workers_node.rpc_url]
        ) as context,
    ):
        await eventually(lambda: indexer.feed.watching >= 2)
        orders = [await approved_order(shop, context) for _ in range(3)]
        for _ in range(ROUNDS):
            workers_node.set_faults(None)
            workers_node.set_faults(dice.choice(LIES))
            indexers_node.set_faults(None)
            if dice.random() < 0.4:
                indexers_node.set_faults(dice.choice(LIES))
            with contextlib.suppress(KilledError, RpcError, TimeoutError):
                async with asyncio.timeout(dice.uniform(0.05, 1.0)):
                    await settle_dying(context, dice.choice([*POINTS, "never"]))
            if dice.random() < 0.3:
                depth = dice.randrange(0, 6)
                with contextlib.suppress(ValueError):
                    net.chain.fork(
                        depth, drop=dice.random(), reland_after=dice.randrange(0, 5), seed=dice.randrange(999)
                    )
            net.chain.tick(dice.choice([0, 1, 5, 40]))
        workers_node.set_faults(None)
        indexers_node.set_faults(None)
        for order in orders:
            await work_on(context, order, net, seconds=90)
        await eventually(lambda: _quiet(shop))
    await paid_once(shop, times=len(orders))
    for order in orders:
        assert [row["outcome"] for row in await attempts(order)].count("settled") == 1


async def _quiet(shop):
    """Nothing that was signed may still land."""
    return await shop.pool.fetchval("SELECT count(*) = 0 FROM payout_attempts WHERE ended_at IS NULL")
