"""What the indexer and its commands work with: database, nodes, and the path from a signature to a row.

The indexer adds sockets to it; `pay402 audit` and `pay402 backfill` use it as it is.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry

from chain.node import Node
from chain.programs import NATIVE_SOL, SYSTEM_PROGRAM
from chain.rpc import RpcLimits, RpcPool
from indexer.audit import Auditor
from indexer.finalize import Finalizer
from indexer.heal import Healer
from indexer.metrics import IndexerMetrics
from indexer.pipeline import Pipeline
from indexer.record import Recorder
from indexer.watchlist import FollowedAccount, Watchlist
from ledger.sql import load_queries
from migrations.status import check_current
from runtime.database import open_pool
from runtime.metrics import new_registry
from runtime.process import working
from runtime.settings import IndexerSettings


@dataclass(slots=True)
class Workbench:
    """The parts, open and working."""

    settings: IndexerSettings
    database: asyncpg.Pool
    queries: Any
    ledger_queries: Any
    node: Node
    registry: CollectorRegistry
    metrics: IndexerMetrics
    watchlist: Watchlist
    pipeline: Pipeline = field(init=False)
    healer: Healer = field(init=False)
    auditor: Auditor = field(init=False)
    finalizer: Finalizer = field(init=False)

    async def known_wallets(self) -> dict[str, int]:
        """Every wallet to follow, with the first slot that counts."""
        rows = self.queries.followed_wallets(self.database)
        return {row["address"]: row["followed_from_slot"] async for row in rows}

    async def known_accounts(self) -> tuple[FollowedAccount, ...]:
        """Every account that the database knows of the wallets to follow."""
        rows = self.queries.followed_accounts(self.database)
        return tuple([FollowedAccount(r["address"], r["recipient"], r["mint"], r["program"]) async for r in rows])

    async def remember(self, accounts: Sequence[FollowedAccount]) -> None:
        """Store accounts of followed wallets."""
        await self.queries.add_accounts(
            self.database,
            address=[account.address for account in accounts],
            recipient=[account.wallet for account in accounts],
            mint=[account.mint for account in accounts],
            program=[account.program for account in accounts],
        )

    async def new_accounts_of(self, wallet: str) -> tuple[FollowedAccount, ...]:
        """Search the chain for token accounts of `wallet`; those that were not known are stored."""
        owned = await self.node.token_accounts(wallet)
        found = [FollowedAccount(a.address, wallet, a.mint, a.program) for a in owned]
        new = [account for account in found if account.address not in self.watchlist.accounts]
        if new:
            await self.remember(new)
        return tuple(new)

    async def load(self, only: Sequence[str] = ()) -> None:
        """Put what the database and the chain know on the watch list, without any socket."""
        for wallet, first_slot in (await self.known_wallets()).items():
            if not only or wallet in only:
                await self.remember([native_account(wallet)])
                self.watchlist.add_wallet(wallet, first_slot)
        self.watchlist.add_accounts(await self.known_accounts())
        for wallet in list(self.watchlist.wallets):
            self.watchlist.add_accounts(await self.new_accounts_of(wallet))


def native_account(wallet: str) -> FollowedAccount:
    """The wallet itself, which is followed for its lamports."""
    return FollowedAccount(wallet, wallet, NATIVE_SOL, SYSTEM_PROGRAM)


@asynccontextmanager
async def open_workbench(settings: IndexerSettings, dsn: str, rpc_urls: Sequence[str]) -> AsyncIterator[Workbench]:
    """Open everything; what is under way at the end is drained.

    Raises:
        OperatorError: The database or its schema is not usable.
    """
    await check_current(dsn)
    registry = new_registry()
    metrics = IndexerMetrics(registry)
    queries = load_queries("indexer", "record.sql", "accounts.sql")
    limits = RpcLimits(requests_per_second=settings.rpc_requests_per_second)
    ledger = load_queries("ledger", "proof.sql", "finality.sql", "claims.sql", "heartbeats.sql")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_pool(dsn, application="indexer", min_size=2))
        rpc = await stack.enter_async_context(RpcPool(rpc_urls, limits, on_call=metrics.rpc_call))
        bench = Workbench(settings, database, queries, ledger, Node(rpc), registry, metrics, Watchlist())
        recorder = Recorder(database, queries, metrics, settings.batch_size)
        bench.pipeline = Pipeline(
            bench.node,
            bench.watchlist,
            recorder,
            metrics,
            queue_size=settings.queue_size,
            workers=settings.fetch_workers,
            patience_seconds=settings.patience_seconds,
            on_lost=lambda account, _: bench.healer.want(account),
        )
        bench.healer = Healer(
            bench.node, database, queries, bench.watchlist, bench.pipeline, metrics, settings.heal_workers
        )
        bench.auditor = Auditor(
            bench.node,
            database,
            ledger,
            metrics,
            skip=bench.healer.is_open,
            want=lambda account, thoroughly: bench.healer.want(account, thoroughly=thoroughly),
        )
        bench.finalizer = Finalizer(bench.node, database, ledger, bench.pipeline, metrics)
        await recorder.warm_up()
        await stack.enter_async_context(working(recorder.run(), bench.pipeline.run()))
        stack.push_async_callback(bench.pipeline.drain, settings.drain_seconds)
        yield bench
