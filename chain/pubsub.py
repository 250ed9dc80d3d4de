"""Log subscriptions for many accounts, spread over as many sockets as the provider's limit needs.

A socket can fail in ways that look like quiet: half-open, or dropped by the node for reading slowly. Every
socket therefore also subscribes to slots, and one that has been silent for too long is replaced. Whoever
listens hears of each account whose subscription begins, also when it begins again: what happened before has to be
healed.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI

from chain import connection_errors
from chain.backoff import Backoff
from chain.hosts import host_of
from chain.subscription_messages import MESSAGE, Message, Params

_UNANSWERED_REQUESTS_MAX: Final = 100
_STEADY_SECONDS: Final = 5.0
_BACKOFF: Final = Backoff(0.05, 10.0, jitter=0.3)
# For sockets that do serve, but not for long: what they miss has to be healed, so it may not be much.
_BACKOFF_AFTER_SERVICE: Final = Backoff(0.05, 1.0, jitter=0.3)
_CLOSE_SECONDS: Final = 1.0
_MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
# Read ahead of what has been taken; beyond them the node is made to wait.
_MESSAGES_AHEAD_MAX: Final = 1_024
# Notifications come in no strict order; further behind what the same socket showed, one of the two is wrong.
_WRONG_SLOTS: Final = 150


class FeedListener(Protocol):
    """What a feed calls from its reading loop: these methods must not block."""

    def notified(self, account: str, signature: str, slot: int, *, failed: bool) -> None:
        """A transaction that names `account` reached the commitment `confirmed`."""

    def subscribed(self, account: str, slot: int) -> None:
        """`account` is watched; what happened up to `slot` has to be healed, asking a node that has seen it.

        `slot` is the newest one the socket had shown since then; 0 where the node shows no slots.
        """

    def disconnected(self, endpoint: str, reason: str) -> None:
        """A socket ended; its accounts will be subscribed again."""


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """Bounds: accounts on one socket, and seconds of silence before a socket counts as dead."""

    accounts_per_socket: int = 500
    silence_seconds: float = 15.0
    connect_seconds: float = 10.0


def reason_of(error: BaseException) -> str:
    """Why a socket ended, without the address that some of the library's errors print: it may carry a key."""
    if isinstance(error, InvalidStatus):
        return f"HTTP {error.response.status_code}"
    return "its URL is not valid" if isinstance(error, InvalidURI) else connection_errors.reason_of(error)


class SocketFaultError(Exception):
    """The socket cannot be used any longer; the message says why."""


@dataclass(slots=True)
class _Shard:
    """The accounts of one socket, and the socket's state while it is open.

    Attributes:
        accounts: Those it should watch.
        wanted: Those it has not asked for yet.
        asked: When it asked for which account, by the request's id, oldest first.
        watching: The accounts subscribed, by subscription.
        subscriptions: The same the other way round.
        dropping: Accounts that may have a subscription although nobody wants it any longer.
        refused: Accounts that the node would not watch on this socket, and why.
        unannounced: Watched accounts whose listener waits for the first slot.
        slots_id: The id of the request for slots; `beats` until the node refuses it.
        beats: Whether slots are to be expected.
        room: How many accounts the socket takes.
        heard_at: When the socket last said anything.
    """

    accounts: set[str] = field(default_factory=set)
    wanted: deque[str] = field(default_factory=deque)
    asked: dict[int, tuple[str, float]] = field(default_factory=dict)
    watching: dict[int, str] = field(default_factory=dict)
    subscriptions: dict[str, int] = field(default_factory=dict)
    dropping: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    unannounced: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    slot: int = 0
    slots_id: int = 0
    beats: bool = True
    room: int = 0
    heard_at: float = 0.0

    def reset(self, slots_id: int) -> None:
        """Forget the socket; every account has to be asked for again."""
        self.slots_id = slots_id
        self.beats = True
        for state in (self.asked, self.watching, self.subscriptions, self.dropping, self.refused, self.unannounced):
            state.clear()
        self.wanted = deque(self.accounts)
        self.slot = 0

    def needs_request(self, account: str) -> bool:
        """True for an account to watch that is neither watched nor asked for."""
        return (
            account in self.accounts
            and account not in self.subscriptions
            and all(account != asked for asked, _ in self.asked.values())
        )


class LogsFeed:
    """Follows a changing set of accounts. Open it with `async with`; accounts may be added at any time."""

    def __init__(self, urls: Sequence[str], listener: FeedListener, limits: FeedLimits | None = None) -> None:
        self._urls = itertools.cycle(urls)
        self._listener = listener
        self._limits = limits or FeedLimits()
        self._shards: list[_Shard] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._ids = itertools.count(1)
        self._newest_slot = 0
        self._newest_by: _Shard | None = None
        self.progressed_at = time.monotonic()
        """When a socket last showed that it works, in seconds of the monotonic clock: by a slot a little newer than any
        before, by refusing what its node does not serve, or, where that is slots, by answering pings."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def sockets(self) -> int:
        """How many sockets the followed accounts need."""
        return len(self._shards)

    @property
    def watching(self) -> int:
        """How many accounts are subscribed at this moment."""
        return sum(len(shard.watching) for shard in self._shards)

    @property
    def followed(self) -> set[str]:
        """Every followed account, watched at this moment or not."""
        return {account for shard in self._shards for account in shard.accounts}

    @property
    def unwatched(self) -> list[str]:
        """The followed accounts that no socket watches at this moment."""
        return [account for shard in self._shards for account in shard.accounts if account not in shard.subscriptions]

    @property
    def slot(self) -> int:
        """The newest slot that any socket has shown."""
        return max((shard.slot for shard in self._shards), default=0)

    def follow(self, account: str) -> None:
        """Watch `account` from now on. Following twice changes nothing."""
        if any(account in shard.accounts for shard in self._shards):
            return
        shard = next((s for s in self._shards if len(s.accounts) < s.room), None)
        if shard is None:
            shard = _Shard(room=self._limits.accounts_per_socket)
            self._shards.append(shard)
            task = asyncio.get_running_loop().create_task(self._keep_open(shard))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        shard.accounts.add(account)
        shard.wanted.append(account)
        shard.changed.set()

    def unfollow(self, account: str) -> None:
        """Stop watching `account`."""
        for shard in self._shards:
            if account in shard.accounts:
                shard.accounts.discard(account)
                shard.dropping.add(account)
                shard.changed.set()

    async def _keep_open(self, shard: _Shard) -> None:
        """Replace the shard's socket for as long as the feed is open.

        Not by the library's own loop, which goes on with one address: here the next endpoint takes its turn.
        """
        failures = 0
        while True:
            url = next(self._urls)
            shard.reset(slots_id=next(self._ids))
            opened_at = time.monotonic()
            try:
                async with self._connect(url) as socket:
                    await self._serve(shard, socket)
            except Exception as error:  # noqa: BLE001 - whatever ended it, its accounts must be watched again
                self._listener.disconnected(host_of(url), reason_of(error))
            # A socket that served for a while is replaced at once; one that fails soon, ever more slowly.
            served = bool(shard.watching) or not shard.accounts
            steady = served and time.monotonic() - opened_at > _STEADY_SECONDS
            failures = 0 if steady else failures + 1
            await asyncio.sleep((_BACKOFF_AFTER_SERVICE if served else _BACKOFF).after(failures))

    def _connect(self, url: str) -> connect:
        """A socket whose node answers pings; opened and closed by `async with`, within bounds."""
        limits = self._limits
        return connect(
            url,
            proxy=None,
            compression=None,
            open_timeout=limits.connect_seconds,
            ping_interval=limits.silence_seconds,
            ping_timeout=limits.silence_seconds,
            # A half-open socket never answers the closing handshake: do not wait for it.
            close_timeout=_CLOSE_SECONDS,
            max_size=_MESSAGE_BYTES_MAX,
            max_queue=_MESSAGES_AHEAD_MAX,
        )

    async def _serve(self, shard: _Shard, socket: ClientConnection) -> None:
        """Subscribe and read until the socket fails. Raises what ended it."""
        await self._request(socket, shard.slots_id, "slotSubscribe", [])
        work = {
            asyncio.create_task(self._write(shard, socket)),
            asyncio.create_task(self._read(shard, socket)),
            asyncio.create_task(self._watch(shard)),
        }
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _write(self, shard: _Shard, socket: ClientConnection) -> None:
        """Send what is wanted, a bounded number of requests ahead of the answers."""
        while True:
            # Cleared first: what changes while a request is being sent must not go unnoticed.
            shard.changed.clear()
            # Dropped before asked: a node gives the same subscription, asked for twice, one id for both.
            while shard.dropping:
                account = shard.dropping.pop()
                if account not in shard.accounts and account in shard.subscriptions:
                    subscription = shard.subscriptions.pop(account)
                    del shard.watching[subscription]
                    await self._request(socket, next(self._ids), "logsUnsubscribe", [subscription])
            while shard.wanted and len(shard.asked) < _UNANSWERED_REQUESTS_MAX:
                account = shard.wanted.popleft()
                if shard.needs_request(account):
                    request_id = next(self._ids)
                    shard.asked[request_id] = account, time.monotonic()
                    params = [{"mentions": [account]}, {"commitment": "confirmed"}]
                    await self._request(socket, request_id, "logsSubscribe", params)
                elif account in shard.accounts and account in shard.subscriptions:
                    self._announce(shard, account)  # unfollowed and followed again, before it was dropped
            if shard.refused and not shard.asked and not shard.wanted:
                self._move_refused(shard)
            await shard.changed.wait()

    @staticmethod
    async def _request(socket: ClientConnection, request_id: int, method: str, params: list[Any]) -> None:
        body = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        try:
            await socket.send(msgspec.json.encode(body), text=True)
        except ConnectionClosed as error:
            raise SocketFaultError(f"it closed while asking for {method}") from error

    async def _read(self, shard: _Shard, socket: ClientConnection) -> None:
        try:
            while True:
                message = MESSAGE.decode(await socket.recv(decode=False))
                shard.heard_at = time.monotonic()
                if message.params is not None:
                    self._notify(shard, message.params)
                elif message.id == shard.slots_id:
                    shard.beats = message.error is None
                    self._saw_slot(shard, 0)
                elif message.id is not None:
                    self._answered(shard, message)
        except ConnectionClosed as error:
            raise SocketFaultError("the node closed it") from error

    async def _watch(self, shard: _Shard) -> None:
        """Look now and then whether the node still speaks and answers: a timer for every message would cost more."""
        silence = self._limits.silence_seconds
        shard.heard_at = time.monotonic()
        while True:
            now = time.monotonic()
            _, asked_at = next(iter(shard.asked.values()), ("", now))
            if now - asked_at >= silence:
                raise SocketFaultError(f"it has not answered a subscription for {silence:g} s")
            if now - shard.heard_at >= silence:
                # The chain may stand still: what happened before must be healed all the same.
                self._announce_all(shard)
                # A node without slot notifications may be quiet for good reason; pings watch over it.
                if shard.beats:
                    raise SocketFaultError(f"it has been silent for {silence:g} s")
                shard.heard_at = self.progressed_at = now
            await asyncio.sleep(min(asked_at, shard.heard_at) + silence - now)

    def _notify(self, shard: _Shard, params: Params) -> None:
        result = params.result
        if result.slot is not None:
            self._saw_slot(shard, result.slot)
            return
        account = shard.watching.get(params.subscription)
        if result.value is None or result.context is None:
            if account is not None:
                raise SocketFaultError("it named an account without saying what happened or when")
            return
        self._saw_slot(shard, result.context.slot)
        if account is not None:
            self._listener.notified(
                account, result.value.signature, result.context.slot, failed=result.value.err is not None
            )

    def _answered(self, shard: _Shard, message: Message) -> None:
        account, _ = shard.asked.pop(message.id or 0, (None, 0.0))
        if account is None:
            return
        shard.changed.set()
        if message.error is None and type(message.result) is int:
            shard.watching[message.result] = account
            shard.subscriptions[account] = message.result
            if account in shard.accounts:
                self._announce(shard, account)
            else:
                shard.dropping.add(account)
        elif account in shard.accounts:
            self.progressed_at = time.monotonic()
            shard.refused[account] = message.error.message if message.error else "not an answer"

    def _announce(self, shard: _Shard, account: str) -> None:
        """Announce a watched account, once the socket has shown a slot: without one a heal may ask a lagging node."""
        shard.unannounced.append(account)
        self._saw_slot(shard, 0)

    def _saw_slot(self, shard: _Shard, slot: int) -> None:
        # A wide step is no progress by itself, down or up: nodes that stand still may take turns for ever.
        is_step = self._newest_slot > 0 and abs(slot - self._newest_slot) > _WRONG_SLOTS
        if is_step and shard is self._newest_by and 0 < slot < self._newest_slot:
            # What it showed before was never true, or is by another node that is behind: it is no measure any more.
            shard.slot = self._newest_slot = 0
        shard.slot = max(shard.slot, slot)
        if slot > self._newest_slot:
            self._newest_slot, self._newest_by = slot, shard
            if not is_step:
                self.progressed_at = time.monotonic()
        if shard.slot or not shard.beats:
            self._announce_all(shard)

    def _announce_all(self, shard: _Shard) -> None:
        unannounced, shard.unannounced = shard.unannounced, []
        for account in unannounced:
            if account in shard.accounts:
                self._listener.subscribed(account, shard.slot)

    def _move_refused(self, shard: _Shard) -> None:
        """Take refusals as the socket's limit reached, and move those accounts to another one."""
        refused, shard.refused = shard.refused, {}
        if not shard.watching:
            raise SocketFaultError(f"it refuses subscriptions: {next(iter(refused.values()))}")
        shard.room = min(shard.room, len(shard.watching))
        for account in refused:
            if account in shard.accounts and account not in shard.subscriptions:
                shard.accounts.discard(account)
                self.follow(account)
