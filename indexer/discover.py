"""Keep the watch list true: recipients added or removed in the database, token accounts found on chain."""

import asyncio
import contextlib

import structlog

from chain.pubsub import LogsFeed
from chain.rpc import RpcError
from indexer.context import Workbench, native_account
from indexer.watchlist import FollowedAccount
from runtime.database_errors import DATABASE_ERRORS

_log = structlog.get_logger(__name__)


class Discovery:
    """Follows what the recipients table says, and scans their wallets for token accounts."""

    def __init__(self, bench: Workbench, feed: LogsFeed) -> None:
        self._bench = bench
        self._watchlist = bench.watchlist
        self._feed = feed
        self._recipients_changed = asyncio.Event()
        self._to_scan: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()

    def scan(self, wallet: str) -> None:
        """Look for token accounts of `wallet` soon."""
        if wallet not in self._queued:
            self._queued.add(wallet)
            self._to_scan.put_nowait(wallet)

    def opened(self, accounts: tuple[FollowedAccount, ...]) -> None:
        """Follow accounts of followed wallets; they are in the database already."""
        for account in self._watchlist.add_accounts(accounts):
            self._feed.follow(account.address)

    async def load(self) -> None:
        """Bring the watch list to what the database says: new wallets in, removed ones out."""
        wallets = await self._bench.known_wallets()
        for wallet in self._watchlist.wallets.keys() - wallets.keys():
            for account in self._watchlist.remove_wallet(wallet):
                self._feed.unfollow(account)
        new = [wallet for wallet in wallets if wallet not in self._watchlist.wallets]
        if new:
            await self._bench.remember([native_account(wallet) for wallet in new])
        for wallet in new:
            self._watchlist.add_wallet(wallet, wallets[wallet])
            self._feed.follow(wallet)
            self.scan(wallet)
        self._watchlist.wallets.update(wallets)
        self.opened(await self._bench.known_accounts())

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll())
            for _ in range(self._bench.settings.heal_workers):
                group.create_task(self._scan_forever())
            group.create_task(self._rescan_forever())

    async def _poll(self) -> None:
        poll_seconds = self._bench.settings.poll_seconds
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(poll_seconds):
                    await self._recipients_changed.wait()
            self._recipients_changed.clear()
            try:
                await self.load()
            except DATABASE_ERRORS as error:
                await asyncio.sleep(self._bench.metrics.troubles.note("reading recipients", error))

    def recipients_changed(self) -> None:
        """Read the recipients now; polling alone would find a new one a little later."""
        self._recipients_changed.set()

    async def _scan_forever(self) -> None:
        while True:
            wallet = await self._to_scan.get()
            self._queued.discard(wallet)
            if wallet not in self._watchlist.wallets:
                continue
            try:
                self.opened(await self._bench.new_accounts_of(wallet))
            except DATABASE_ERRORS as error:
                await asyncio.sleep(self._bench.metrics.troubles.note("scanning a wallet", error, wallet=wallet))
                self.scan(wallet)
            except RpcError as error:
                if error.is_refusal:
                    # Asking again at once would only be refused again; the next round asks anyway.
                    self._bench.metrics.done_without("token accounts by owner", error)
                    continue
                _log.warning("wallet_not_scanned", wallet=wallet, error=str(error))
                await asyncio.sleep(0.5)
                self.scan(wallet)

    async def _rescan_forever(self) -> None:
        """Search every wallet again and again, evenly spread: many wallets are searched less often each."""
        settings = self._bench.settings
        while True:
            wallets = list(self._watchlist.wallets)
            pause = max(settings.scan_seconds / max(len(wallets), 1), 1 / settings.scans_per_second)
            for wallet in wallets:
                await asyncio.sleep(pause)
                self.scan(wallet)
            if not wallets:
                await asyncio.sleep(1.0)
