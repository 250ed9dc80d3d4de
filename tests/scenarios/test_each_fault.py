"""Every fault of the localnet's list, one by one: afterwards the ledger equals the chain."""

import asyncio
import time

import pytest

from indexer.main import running_indexer
from indexer.settings import IndexerSettings
from tests.scenarios.node_faults import FAULTS
from tests.scenarios.system import (
    ENVIRONMENT,
    cluster,
    ledger_becomes_the_chain,
    merchants,
    whole_audit_is_clean,
)
from tests.support.ledger_checks import eventually


@pytest.mark.parametrize("name", FAULTS)
async def test_the_ledger_survives(name, database_url, pool):
    settings = IndexerSettings(**ENVIRONMENT)
    async with cluster(seed=sum(name.encode()), nodes=2) as (honest, nodes), merchants(honest, pool) as market:
        urls = [node.rpc_url for node in nodes], [node.ws_url for node in nodes]
        async with running_indexer(settings, database_url, *urls) as indexer:
            await eventually(lambda: indexer.feed.watching >= 4)
            for node in nodes:
                node.set_faults(FAULTS[name])
            for payment, payer in [*market.every_kind(), *market.every_kind()]:
                await market.pay(payment, payer)
            await market.settled()
            if name == "batches rejected":
                # We never send one, so that a node without them makes no difference, faults on to the end.
                await ledger_becomes_the_chain(pool, market, honest)
                assert not any(node.hazard.struck for node in nodes)
            else:
                await _provoke(name, market, nodes)
            for node in nodes:
                node.set_faults(None)
            await ledger_becomes_the_chain(pool, market, honest)
        await whole_audit_is_clean(database_url, honest)


async def _provoke(name, market, nodes):
    """Go on until the fault has struck: a test in which it never did would prove nothing.

    Some strike only where history is walked, as after a socket was cut; others only on a living socket.
    """
    deadline = time.monotonic() + 20
    while not any(node.hazard.struck for node in nodes):
        assert time.monotonic() < deadline, "the fault never struck"
        payment, payer = next(market.every_kind())
        await market.pay(payment, payer)
        if not name.startswith("sockets"):
            for node in nodes:
                node.pubsub.cut_all()
        await asyncio.sleep(0.3)
    await market.settled()
