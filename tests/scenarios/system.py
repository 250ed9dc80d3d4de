"""A whole system to break: one chain with an honest node for payers, faulty nodes for the indexer, real processes."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import asyncpg

from indexer.context import open_context
from indexer.settings import IndexerSettings
from localnet import Localnet
from localnet.market import Market, open_market
from tests.support.ledger_checks import FAST, balances_agree, follow, ledger_transfers

ENVIRONMENT = {
    **FAST,
    "INDEXER_AUDIT_SECONDS": 1,
    "INDEXER_FINALIZE_SECONDS": 0.3,
    "INDEXER_SWEEP_SECONDS": 3,
    "INDEXER_ACCOUNTS_PER_SOCKET": 4,
    "INDEXER_BATCH_SIZE": 4,  # so that both writers write
}


@contextlib.asynccontextmanager
async def cluster(seed, nodes=2):
    """An honest node, and `nodes` more of the same chain whose faults can be switched."""
    async with contextlib.AsyncExitStack() as stack:
        honest = await stack.enter_async_context(Localnet.start(slot_seconds=0.05, finalize_slots=8, seed=seed))
        faulty = [
            await stack.enter_async_context(Localnet.start(chain=honest.chain, seed=seed + n, pubsub_limit=6))
            for n in range(nodes)
        ]
        yield honest, faulty


@contextlib.asynccontextmanager
async def merchants(honest, pool):
    """A market on the honest node; its recipients are registered from genesis."""
    async with open_market(honest.rpc_url, payers=2, recipients=2) as market:
        await market.prepare()
        for wallet in market.wallets:
            await follow(pool, wallet)
        yield market


@dataclass
class IndexerProcess:
    """`pay402 indexer` as an operator runs it, to be killed at any moment."""

    database_url: str
    nodes: list[Localnet]
    log: object
    process: asyncio.subprocess.Process | None = None
    kills: int = field(default=0)

    async def start(self, *, wait=True):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli", "indexer", "--json",
            env={
                "PATH": os.environ["PATH"],
                "DATABASE_URL": self.database_url,
                "SOLANA_RPC_URL": ",".join(node.rpc_url for node in self.nodes),
                "SOLANA_WS_URL": ",".join(node.ws_url for node in self.nodes),
                **{name: str(value) for name, value in ENVIRONMENT.items()},
            },
            stdout=asyncio.subprocess.PIPE, stderr=self.log,
        )  # fmt: skip
        if wait:
            assert self.process.stdout is not None
            async with asyncio.timeout(30):
                assert await self.process.stdout.readline(), "the indexer did not start"

    async def stop(self, number=signal.SIGTERM):
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            async with asyncio.timeout(40):
                await self.process.wait()
        self.kills += number == signal.SIGKILL
        return self.process.returncode if self.process else None


def landed(market: Market, chain) -> Counter:
    """What was paid and is on the chain now: forks may have dropped some of it."""
    on_chain = {}
    for sent in market.sent:
        executed = chain.find(sent.signature)
        on_chain[sent.signature] = executed is not None and executed.err is None
    return Counter({key: count for key, count in market.expected().items() if on_chain[key[0]]})


async def ledger_becomes_the_chain(pool, market, honest, seconds=60.0, wallets=None):
    """Wait until ledger and chain agree transfer by transfer, then until the ledger has proven it itself.

    `wallets` are those that were paid, if there are more than the market's.
    """
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            chain, ledger = landed(market, honest.chain), await ledger_transfers(pool, wallets or market.wallets)
            state = await pool.fetchrow(
                """
                SELECT
                  (SELECT count(*) FROM transfers WHERE finality = 'confirmed') AS unsettled,
                  (SELECT count(*) FROM token_accounts WHERE drift <> 0 OR gaps > 0) AS in_doubt,
                  (SELECT count(*) FROM token_accounts WHERE audited_slot IS NULL) AS unaudited
                """
            )
            if chain == ledger and not any(state.values()):
                break
            if time.monotonic() > deadline:
                raise AssertionError(f"missing {chain - ledger}, too many {ledger - chain}, {dict(state)}")
        await asyncio.sleep(0.1)
    await balances_agree(pool, honest)
    doubled = await pool.fetch(
        """
        SELECT type, subject, data ->> 'path' AS path, count(*) FROM events
        WHERE type IN ('transfer.confirmed', 'transfer.finalized') GROUP BY 1, 2, 3 HAVING count(*) > 1
        """
    )
    assert not doubled


async def whole_audit_is_clean(database_url, honest):
    """The proof over the whole ledger, by another process' worth of parts."""
    settings = IndexerSettings(**FAST)
    async with open_context(settings, database_url, [honest.rpc_url]) as context:
        report = await context.auditor.audit(whole=True)
    assert report.findings == ()
    assert report.accounts > 0
