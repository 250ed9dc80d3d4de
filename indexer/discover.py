"""Keep the watch list true: recipients added or removed in the database, token accounts found on chain."""

import asyncio
from functools import partial
from typing import Final

import structlog

from chain.pubsub import LogsFeed
from chain.rpc import RpcError
from indexer.accounts import native_account
from indexer.context import IndexerContext
from runtime.database_errors import DATABASE_ERRORS
from runtime.passes import repeat

_log = structlog.get_logger(__name__)

LOOP: Final = "discover"
SCAN_LOOP: Final = "scan"


class WalletScans:
    """The wallets whose token accounts have to be searched on chain, each waiting once."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()

    def want(self, wallet: str) -> None:
        """Search for token accounts of `wallet` soon."""
        if wallet not in self._waiting:
            self._waiting.add(wallet)
            self._queue.put_nowait(wallet)

    async def take(self) -> str:
        """The wallet that has waited longest."""
        wallet = await self._queue.get()
        self._waiting.discard(wallet)
        return wallet


class Discovery:
    """Follows what the recipients table says, and scans their wallets for token accounts.

    `recipients_changed` is set by whoever hears of a new recipient; polling alone would find it a little later.
    """

    def __init__(
        self, context: IndexerContext, feed: LogsFeed, scans: WalletScans, recipients_changed: asyncio.Event
    ) -> None:
        self._context = context
        self._watchlist = context.watchlist
        self._feed = feed
        self._scans = scans
        self._recipients_changed = recipients_changed

    async def load(self) -> None:
        """Bring the watch list to what the database says: new wallets in, removed ones out."""
        wallets = await self._context.accounts.wallets()
        for wallet in self._watchlist.wallets.keys() - wallets.keys():
            self._watchlist.remove_wallet(wallet)
        self._follow_watchlist()
        new = [wallet for wallet in wallets if wallet not in self._watchlist.wallets]
        if new:
            await self._context.accounts.remember([native_account(wallet) for wallet in new])
        for wallet in new:
            self._watchlist.add_wallet(wallet, wallets[wallet])
            self._scans.want(wallet)
        self._watchlist.wallets.update(wallets)
        self._watchlist.add_accounts(await self._context.accounts.known())
        self._follow_watchlist()

    def _follow_watchlist(self) -> None:
        """Have the sockets watch exactly the accounts of the watch list."""
        followed = self._feed.followed
        for account in self._watchlist.accounts:
            if account not in followed:
                self._feed.follow(account)
        for account in followed - self._watchlist.accounts.keys():
            self._feed.unfollow(account)

    async def _follow_forever(self) -> None:
        """Accounts come to the watch list from the pipeline as well, which knows nothing of sockets."""
        while True:
            await self._watchlist.changed.wait()
            self._watchlist.changed.clear()
            self._follow_watchlist()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(
                repeat(
                    lambda: self.load(),  # noqa: PLW0108 - looked up for each pass: what replaces it is called
                    "reading recipients",
                    every_seconds=self._context.settings.poll_seconds,
                    troubles=self._context.metrics.troubles,
                    succeeded=partial(self._context.metrics.liveness.succeeded, LOOP),
                    woken=self._recipients_changed,
                    at_once=False,
                )
            )
            group.create_task(self._follow_forever())
            for _ in range(self._context.settings.heal_workers):
                group.create_task(self._scan_forever())
            group.create_task(self._rescan_forever())

    async def _scan_forever(self) -> None:
        while True:
            wallet = await self._scans.take()
            if wallet not in self._watchlist.wallets:
                continue
            try:
                self._watchlist.add_accounts(await self._context.new_accounts_of(wallet))
            except DATABASE_ERRORS as error:
                await asyncio.sleep(self._context.metrics.troubles.note("scanning a wallet", error, wallet=wallet))
                self._scans.want(wallet)
            except RpcError as error:
                if error.is_refusal:
                    # Asking again at once would only be refused again; the next round asks anyway.
                    self._context.metrics.done_without("token accounts by owner", error)
                    self._context.metrics.liveness.succeeded(SCAN_LOOP)
                    continue
                _log.warning("wallet_not_scanned", wallet=wallet, error=str(error))
                await asyncio.sleep(0.5)
                self._scans.want(wallet)
            except Exception as error:  # noqa: BLE001 - a defect in one loop must not end the recording of payments
                # The next round asks again; until then the other wallets are searched.
                self._context.metrics.troubles.note_defect("scanning a wallet", error, wallet=wallet)
            else:
                self._context.metrics.liveness.succeeded(SCAN_LOOP)

    async def _rescan_forever(self) -> None:
        """Search every wallet again and again, evenly spread: many wallets are searched less often each."""
        settings = self._context.settings
        while True:
            wallets = list(self._watchlist.wallets)
            pause = max(settings.scan_seconds / max(len(wallets), 1), 1 / settings.scans_per_second)
            for wallet in wallets:
                await asyncio.sleep(pause)
                self._scans.want(wallet)
            if not wallets:
                self._context.metrics.liveness.succeeded(SCAN_LOOP)
                await asyncio.sleep(1.0)
