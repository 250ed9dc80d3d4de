"""What the indexer and its commands work with: database, nodes, and the path from a signature to a row.

The indexer adds sockets to it; `pay402 audit` and `pay402 backfill` use it as it is.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg
from prometheus_client import CollectorRegistry

from chain.node import Node
from chain.reached import ReachedSlots
from chain.rpc import RpcLimits, RpcPool
from indexer.accounts import Accounts, native_account
from indexer.audit import Auditor
from indexer.content_witness import ContentWitnesses
from indexer.finalize import Finalizer
from indexer.heal import Healer
from indexer.heal_queue import HealQueue
from indexer.metrics import IndexerMetrics
from indexer.pipeline import Pipeline
from indexer.record import Recorder
from indexer.settings import IndexerSettings
from indexer.watchlist import FollowedAccount, Watchlist
from indexer.witness import Witnesses
from ledger.amounts import parse_thresholds
from migrations.status import check_current
from runtime.cluster import check_cluster, expected_genesis
from runtime.database import open_pool
from runtime.metrics import new_registry
from runtime.process import working


@dataclass(frozen=True, slots=True)
class IndexerContext:
    """Everything open and working."""

    settings: IndexerSettings
    database: asyncpg.Pool
    accounts: Accounts
    node: Node
    registry: CollectorRegistry
    metrics: IndexerMetrics
    watchlist: Watchlist
    heal_queue: HealQueue
    pipeline: Pipeline
    healer: Healer
    auditor: Auditor
    finalizer: Finalizer
    witnesses: Witnesses

    async def new_accounts_of(self, wallet: str) -> tuple[FollowedAccount, ...]:
        """Search the chain for token accounts of `wallet`; those that were not known are stored."""
        owned = await self.node.token_accounts(wallet)
        found = [(FollowedAccount(one.address, wallet, one.mint, one.program), one.balance) for one in owned]
        new = [
            account
            for account, balance in found
            if account.address not in self.watchlist.accounts and self.watchlist.admits(account, balance)
        ]
        if new:
            await self.accounts.remember(new)
        return tuple(new)

    async def load(self, only: Sequence[str] = ()) -> None:
        """Put what the database and the chain know on the watch list, without any socket."""
        for wallet, first_slot in (await self.accounts.wallets()).items():
            if not only or wallet in only:
                await self.accounts.remember([native_account(wallet)])
                self.watchlist.add_wallet(wallet, first_slot)
        self.watchlist.add_accounts(await self.accounts.known())
        for wallet in list(self.watchlist.wallets):
            self.watchlist.add_accounts(await self.new_accounts_of(wallet))


@asynccontextmanager
async def open_context(settings: IndexerSettings, dsn: str, rpc_urls: Sequence[str]) -> AsyncIterator[IndexerContext]:
    """Open everything; what is under way at the end is drained.

    Raises:
        OperatorError: The database or its schema is not usable, or a node is of another cluster.
    """
    await check_current(dsn)
    registry = new_registry()
    metrics = IndexerMetrics(registry)
    watchlist = Watchlist()
    heal_queue = HealQueue(watchlist, metrics)
    limits = RpcLimits(requests_per_second=settings.rpc_requests_per_second)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_pool(dsn, application="indexer", min_size=2))
        await check_cluster(database, rpc_urls, settings.solana_network)
        genesis = await expected_genesis(database, settings.solana_network)
        rpc = await stack.enter_async_context(
            RpcPool(
                rpc_urls,
                limits,
                on_call=metrics.rpc,
                genesis_hash=genesis,
                witnesses=settings.rpc_witnesses,
            )
        )
        node, accounts, reached = Node(rpc), Accounts(database), ReachedSlots(rpc)
        needed = min(settings.rpc_witnesses, len(rpc_urls))
        recorded = asyncio.Event()
        recorder = Recorder(database, metrics, settings.batch_size, to_witness=recorded if needed > 1 else None)
        pipeline = Pipeline(
            node,
            watchlist,
            recorder,
            heal_queue,
            metrics,
            queue_size=settings.queue_size,
            workers=settings.fetch_workers,
            patience_seconds=settings.patience_seconds,
        )
        await recorder.warm_up()
        await stack.enter_async_context(working(recorder.run(), pipeline.run()))
        stack.push_async_callback(pipeline.drain, settings.drain_seconds)
        yield IndexerContext(
            settings=settings,
            database=database,
            accounts=accounts,
            node=node,
            registry=registry,
            metrics=metrics,
            watchlist=watchlist,
            heal_queue=heal_queue,
            pipeline=pipeline,
            healer=Healer(node, accounts, watchlist, heal_queue, pipeline, metrics, reached, settings.heal_workers),
            auditor=Auditor(
                node,
                database,
                watchlist,
                heal_queue,
                metrics,
                reached,
                block_seconds_min=settings.block_seconds_min,
            ),
            finalizer=Finalizer(node, database, pipeline, metrics, needed),
            witnesses=Witnesses(
                node,
                database,
                metrics,
                recorded,
                needed,
                ContentWitnesses(node, database, metrics, parse_thresholds(settings.rpc_content_above), needed),
            ),
        )
