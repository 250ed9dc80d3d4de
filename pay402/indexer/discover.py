"""Keep the watch list true: recipients added or removed in the database, token accounts found on chain."""

import asyncio
import contextlib
from typing import Any

import asyncpg
import structlog

from pay402.chain.node import Node
from pay402.chain.programs import NATIVE_SOL, SYSTEM_PROGRAM
from pay402.chain.pubsub import LogsFeed
from pay402.chain.rpc import RpcError
from pay402.indexer.metrics import IndexerMetrics
from pay402.indexer.watchlist import FollowedAccount, Watchlist

_log = structlog.get_logger(__name__)


class Discovery:
    """Follows what the recipients table says, and scans their wallets for token accounts."""

    def __init__(
        self,
        node: Node,
        pool: asyncpg.Pool,
        queries: Any,
        watchlist: Watchlist,
        feed: LogsFeed,
        metrics: IndexerMetrics,
        *,
        poll_seconds: float,
        scan_seconds: float,
    ) -> None:
        self._node = node
        self._pool = pool
        self._queries = queries
        self._watchlist = watchlist
        self._feed = feed
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._scan_seconds = scan_seconds
        self._recipients_changed = asyncio.Event()
        self._to_scan: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()

    def scan(self, wallet: str) -> None:
        """Look for token accounts of `wallet` soon."""
        if wallet not in self._queued:
            self._queued.add(wallet)
            self._to_scan.put_nowait(wallet)

    def opened(self, accounts: tuple[FollowedAccount, ...]) -> None:
        """Follow accounts that a recorded transaction opened; they are in the database already."""
        for account in self._watchlist.add_accounts(accounts):
            self._feed.follow(account.address)
        self._metrics.followed.set(len(self._watchlist.accounts))

    async def load(self) -> None:
        """Bring the watch list to what the database says: new wallets in, removed ones out."""
        wallets = {row["address"]: row["followed_from_slot"] for row in await self._rows("followed_wallets")}
        for wallet in self._watchlist.wallets.keys() - wallets.keys():
            for account in self._watchlist.remove_wallet(wallet):
                self._feed.unfollow(account)
        new = [wallet for wallet in wallets if wallet not in self._watchlist.wallets]
        if new:
            await self._remember([FollowedAccount(w, w, NATIVE_SOL, SYSTEM_PROGRAM) for w in new])
        for wallet in new:
            self._watchlist.add_wallet(wallet, wallets[wallet])
            self._feed.follow(wallet)
            self.scan(wallet)
        known = [
            FollowedAccount(row["address"], row["recipient"], row["mint"], row["program"])
            for row in await self._rows("followed_accounts")
        ]
        self.opened(tuple(known))

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._poll())
            group.create_task(self._scan_forever())
            group.create_task(self._rescan_forever())

    async def _poll(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._recipients_changed.wait()
            self._recipients_changed.clear()
            try:
                await self.load()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                _log.warning("recipients_not_read", error=str(error))
                await asyncio.sleep(min(self._poll_seconds, 1.0))

    async def _listen(self) -> None:
        """Wake `_poll` when a recipient is added; polling alone would find it a little later."""
        while True:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                async with self._pool.acquire() as connection:
                    closed = asyncio.Event()
                    connection.add_termination_listener(lambda *_, closed=closed: closed.set())
                    await connection.add_listener("recipients", self._woken)
                    try:
                        await closed.wait()
                    finally:
                        if not connection.is_closed():
                            await connection.remove_listener("recipients", self._woken)
            await asyncio.sleep(1.0)

    def _woken(self, *_: object) -> None:
        self._recipients_changed.set()

    async def _scan_forever(self) -> None:
        while True:
            wallet = await self._to_scan.get()
            self._queued.discard(wallet)
            if wallet not in self._watchlist.wallets:
                continue
            try:
                await self._scan(wallet)
            except (RpcError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                _log.warning("wallet_not_scanned", wallet=wallet, error=str(error))
                await asyncio.sleep(0.5)
                self.scan(wallet)

    async def _rescan_forever(self) -> None:
        while True:
            await asyncio.sleep(self._scan_seconds)
            for wallet in list(self._watchlist.wallets):
                self.scan(wallet)

    async def _scan(self, wallet: str) -> None:
        owned = await self._node.token_accounts(wallet)
        found = [FollowedAccount(a.address, wallet, a.mint, a.program) for a in owned]
        new = [account for account in found if account.address not in self._watchlist.accounts]
        if new:
            await self._remember(new)
            self.opened(tuple(new))

    async def _remember(self, accounts: list[FollowedAccount]) -> None:
        await self._queries.add_accounts(
            self._pool,
            address=[account.address for account in accounts],
            recipient=[account.wallet for account in accounts],
            mint=[account.mint for account in accounts],
            program=[account.program for account in accounts],
        )

    async def _rows(self, query: str) -> list[Any]:
        return [row async for row in getattr(self._queries, query)(self._pool)]
