"""An upgrade and a roll-back while payers pay and proofs are verified: no request fails and no payment is lost."""

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp
import pytest

from localnet.market import open_market
from tests.scenarios.balancer import balancing
from tests.scenarios.versions import Version, newer_version, stopped
from tests.support.api_client import Client, key_for, pay_usdc, proof_of
from tests.support.command_line import eventually
from tests.support.ledger_checks import FAST, balances_agree, follow, ledger_equals_chain
from tests.support.source_tree import ROOT

PAUSE_SECONDS = 0.5  # between taking a process out of the balancer and ending it, as Kubernetes' preStop does


@dataclass
class Load:
    """Payers who pay and prove without a pause, and what they were answered."""

    market: object
    merchant: Client
    paid: int = 0
    answers: Counter = field(default_factory=Counter)
    failures: list = field(default_factory=list)
    slowest_seconds: float = 0.0
    is_over: bool = False

    async def run(self, payer):
        """Pay, prove, again; what was paid is proven to its end."""
        while not self.is_over:
            transaction, keypair = await pay_usdc(self.market, 10_000, payer=payer)
            self.paid += 1
            proof = proof_of(keypair, transaction, 0.01)
            while not await self._is_honoured(proof):  # noqa: ASYNC110 - it asks each time
                await asyncio.sleep(0.2)

    async def _is_honoured(self, proof):
        started = time.monotonic()
        try:
            reply = await self.merchant.verify(proof)
        except aiohttp.ClientError as error:
            self.failures.append(repr(error))
            return False
        self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - started)
        self.answers[reply.status, reply.code] += 1
        if reply.code not in {"VALID", "PAYMENT_PENDING"}:
            self.failures.append(reply.text)
        return reply.code != "PAYMENT_PENDING"


@contextlib.asynccontextmanager
async def under_load(market, merchant):
    load = Load(market, merchant)
    payers = [asyncio.create_task(load.run(payer)) for payer in range(len(market.payers))]
    try:
        await eventually(lambda: load.answers.total() > 5)
        yield load
        load.is_over = True
        async with asyncio.timeout(30):
            await asyncio.gather(*payers)
    finally:
        for payer in payers:
            payer.cancel()
        await asyncio.gather(*payers, return_exceptions=True)


class Deployment:
    """What an operator runs: API processes behind a balancer, an indexer, a worker."""

    def __init__(self, balancer):
        self._balancer = balancer
        self.apis, self.others = [], {}

    async def start_api(self, version):
        process, ready = await version.start("api", PORT=0)
        port = int(ready["api"].rpartition(":")[2])
        await eventually(lambda: is_ready(port))
        self._balancer.backends.append(port)
        self.apis.append((process, port))

    async def stop_oldest_api(self):
        process, port = self.apis.pop(0)
        self._balancer.backends.remove(port)
        await asyncio.sleep(PAUSE_SECONDS)
        assert await stopped(process) == 0

    async def replace(self, name, version):
        """The new one is there before the old one ends: two at once are safe."""
        old = self.others.get(name)
        self.others[name], _ = await version.start(name, METRICS_PORT=0)
        if old is not None:
            assert await stopped(old) == 0

    async def stop_everything(self):
        for process, _ in self.apis:
            assert await stopped(process) == 0
        for process in self.others.values():
            assert await stopped(process) == 0
        self._balancer.backends.clear()

    async def start_everything(self, version):
        count, names = len(self.apis), list(self.others)
        self.apis, self.others = [], {}
        for name in names:
            await self.replace(name, version)
        for _ in range(count):
            await self.start_api(version)

    async def move_to(self, version):
        """Everything, one process after the other."""
        for _ in range(len(self.apis)):
            await self.start_api(version)
            await self.stop_oldest_api()
        for name in list(self.others):
            await self.replace(name, version)


async def is_ready(port):
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/ready") as answer:
        return answer.status == 200


@pytest.fixture
def environment(home, database_url, redis_url, net):
    fast = {name: str(value) for name, value in FAST.items() if name != "METRICS_PORT"}
    return {
        **fast,
        "APP_ENV": "test",
        "PAY402_HOME": str(home),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SOLANA_RPC_URL": net.rpc_url,
        "SOLANA_WS_URL": net.ws_url,
        "PUBLIC_RATE_LIMIT": "0",
        "AUTH_RATE_LIMIT": "0",
        "VERIFY_RATE_LIMIT": "0",
    }


@pytest.fixture
async def versions(tmp_path, environment):
    """The version that is here, and a newer one."""
    with (tmp_path / "processes.log").open("wb") as log:
        ours = Version(ROOT, environment, log)
        newer = Version(newer_version(tmp_path / "newer"), environment, log)
        try:
            yield ours, newer
        finally:
            await ours.end()
            await newer.end()


@contextlib.asynccontextmanager
async def deployed(version, net, pool):
    """A deployment of `version` with a market whose payers pay through it; yields both and the load."""
    async with balancing() as balancer, open_market(net.rpc_url, payers=3, recipients=1) as market:
        await market.prepare()
        await follow(pool, market.wallets[0])
        deployment = Deployment(balancer)
        for _ in range(2):
            await deployment.start_api(version)
        for name in ("indexer", "worker"):
            await deployment.replace(name, version)
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as http:
            client = Client(f"http://127.0.0.1:{balancer.port}", http, await key_for(pool))
            async with under_load(market, client) as load:
                yield deployment, load
            assert load.failures == []
            assert load.answers[200, "VALID"] == load.paid
            await nothing_is_lost(pool, market, net, load.paid)
            # Figures, for whoever asks for them with -s.
            print(f"\n{load.paid} paid, {dict(load.answers)}, slowest {load.slowest_seconds:.2f} s")  # noqa: T201


async def nothing_is_lost(pool, market, net, paid):
    """Ledger and chain agree, and every payment that was proven is honoured by exactly one claim."""
    await ledger_equals_chain(pool, market)
    await balances_agree(pool, net)
    row = await pool.fetchrow(
        """
        SELECT count(*), count(DISTINCT (signature, path)) FROM transactions
        WHERE status IN ('confirmed', 'finalized')
        """
    )
    assert tuple(row) == (paid, paid)


async def more_answers(load, count=10):
    before = load.answers.total()
    await eventually(lambda: load.answers.total() > before + count)


@pytest.mark.timeout(180)
async def test_an_upgrade_under_load_fails_no_request_and_loses_no_payment(versions, net, pool):
    ours, newer = versions
    async with deployed(ours, net, pool) as (deployment, load):
        # The schema first, under the running version; then the processes, one after the other.
        await newer.run("migrate", "up")
        await more_answers(load)
        await deployment.move_to(newer)
        await more_answers(load)
        # A restart of everything without any change.
        await deployment.move_to(newer)
        await more_answers(load)


@pytest.mark.timeout(180)
async def test_the_way_back_loses_no_payment_either(versions, net, pool):
    """Schema and application: the newer version goes, its migration is taken down, the older one comes."""
    ours, newer = versions
    await newer.run("migrate", "up")
    async with deployed(newer, net, pool) as (deployment, load):
        await more_answers(load)
        await deployment.stop_everything()
        outage = time.monotonic()
        load.failures.clear()
        await newer.run("migrate", "down", "--yes")
        await deployment.start_everything(ours)
        # Nobody answered meanwhile, which is the price of taking a schema down; proofs are simply made again.
        load.failures.clear()
        print(f"\nout for {time.monotonic() - outage:.1f} s")  # noqa: T201
        await more_answers(load)


async def test_a_process_stays_ready_when_the_schema_moves_on(versions, net, pool):
    """Else a load balancer turns away from every process of the old version before there is one of the new."""
    ours, newer = versions
    process, ready = await ours.start("api", PORT=0)
    port = int(ready["api"].rpartition(":")[2])
    assert await is_ready(port)
    await newer.run("migrate", "up")
    assert await is_ready(port)
    assert await stopped(process) == 0
