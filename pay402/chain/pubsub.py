"""Log subscriptions for many accounts, spread over as many sockets as the provider's limit needs.

A socket can fail in ways that look like quiet: half-open, or dropped by the node for reading slowly. Every
socket therefore also subscribes to slots, and one that has been silent for too long is replaced. Whoever
listens is told of each account whose subscription (again) began: what happened before has to be healed.
"""

import asyncio
import contextlib
import itertools
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit

import aiohttp
import msgspec

_UNANSWERED_REQUESTS: Final = 100
_MAX_PAUSE_SECONDS: Final = 10.0


class Listener(Protocol):
    """What a feed tells, from its reading loop: these methods must not block."""

    def notified(self, account: str, signature: str, slot: int, *, failed: bool) -> None:
        """A transaction that names `account` reached the commitment `confirmed`."""

    def subscribed(self, account: str, slot: int) -> None:
        """From now on `account` is watched; `slot` is the newest one the socket has shown (0: none yet)."""

    def disconnected(self, endpoint: str, reason: str) -> None:
        """A socket ended; its accounts will be subscribed again."""


class _LogsValue(msgspec.Struct):
    signature: str
    err: Any = None


class _Context(msgspec.Struct):
    slot: int


class _Result(msgspec.Struct):
    context: _Context | None = None
    value: _LogsValue | None = None
    slot: int | None = None


class _Params(msgspec.Struct):
    result: _Result
    subscription: int


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Message(msgspec.Struct):
    """A notification has `method` and `params`; an answer has `id` and `result` or `error`."""

    method: str | None = None
    params: _Params | None = None
    id: int | None = None
    result: int | bool | None = None
    error: _Error | None = None


_MESSAGE: Final = msgspec.json.Decoder(_Message)


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """Bounds: accounts on one socket, and seconds of silence before a socket counts as dead."""

    accounts_per_socket: int = 500
    silence_seconds: float = 15.0
    connect_seconds: float = 10.0


class SocketFaultError(Exception):
    """The socket cannot be used any longer; the message says why."""


@dataclass(slots=True)
class _Shard:
    """The accounts of one socket, and the socket's state while it is open."""

    accounts: set[str] = field(default_factory=set)
    wanted: deque[str] = field(default_factory=deque)
    asked: dict[int, str] = field(default_factory=dict)
    watching: dict[int, str] = field(default_factory=dict)
    dropping: set[str] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    slot: int = 0
    slots_id: int = 0
    beats: bool = True
    answered_at: float = 0.0
    room: int = 0

    def reset(self, slots_id: int) -> None:
        """Forget the socket; every account has to be asked for again."""
        self.slots_id = slots_id
        self.beats = True
        self.answered_at = time.monotonic()
        self.asked.clear()
        self.watching.clear()
        self.dropping.clear()
        self.wanted = deque(self.accounts)
        self.slot = 0


class LogsFeed:
    """Follows a changing set of accounts. Open it with `async with`; accounts may be added at any time."""

    def __init__(self, urls: Sequence[str], listener: Listener, limits: FeedLimits | None = None) -> None:
        self._urls = itertools.cycle(urls)
        self._listener = listener
        self._limits = limits or FeedLimits()
        self._shards: list[_Shard] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._ids = itertools.count(1)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    @property
    def sockets(self) -> int:
        """How many sockets the followed accounts need."""
        return len(self._shards)

    @property
    def watching(self) -> int:
        """How many accounts are subscribed at this moment."""
        return sum(len(shard.watching) for shard in self._shards)

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
        """Replace the shard's socket for as long as the feed is open."""
        failures = 0
        while True:
            url = next(self._urls)
            shard.reset(slots_id=next(self._ids))
            try:
                async with self._connect(url) as socket:
                    await self._serve(shard, socket)
            except (
                aiohttp.ClientError,
                OSError,
                TimeoutError,
                SocketFaultError,
                msgspec.DecodeError,
            ) as error:
                reason = str(error) or type(error).__name__
                self._listener.disconnected(urlsplit(url).hostname or "unknown", reason)
            # A socket that worked is replaced at once; one that never did is tried ever more slowly.
            failures = 0 if shard.slot or shard.watching else failures + 1
            pause = min(0.1 * 2**failures, _MAX_PAUSE_SECONDS) if failures else 0.05
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret

    @contextlib.asynccontextmanager
    async def _connect(self, url: str) -> Any:
        assert self._session is not None, "open the LogsFeed with `async with` before following"
        async with asyncio.timeout(self._limits.connect_seconds):
            socket = await self._session.ws_connect(
                url, max_msg_size=64 * 1024 * 1024, heartbeat=self._limits.silence_seconds
            )
        try:
            yield socket
        finally:
            # A half-open socket never answers the closing handshake: do not wait for it.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await socket.close()

    async def _serve(self, shard: _Shard, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Subscribe and read until the socket fails. Raises what ended it."""
        await self._request(socket, shard.slots_id, "slotSubscribe", [])
        writer = asyncio.create_task(self._write(shard, socket))
        reader = asyncio.create_task(self._read(shard, socket))
        try:
            done, _ = await asyncio.wait({writer, reader}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (writer, reader):
                task.cancel()
            await asyncio.gather(writer, reader, return_exceptions=True)

    async def _write(self, shard: _Shard, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Send what is wanted, a bounded number of requests ahead of the answers."""
        while True:
            while shard.wanted and len(shard.asked) < _UNANSWERED_REQUESTS:
                account = shard.wanted.popleft()
                if account not in shard.accounts:
                    continue
                request_id = next(self._ids)
                if not shard.asked:
                    shard.answered_at = time.monotonic()
                shard.asked[request_id] = account
                params = [{"mentions": [account]}, {"commitment": "confirmed"}]
                await self._request(socket, request_id, "logsSubscribe", params)
            for subscription, account in list(shard.watching.items()):
                if account in shard.dropping:
                    del shard.watching[subscription]
                    shard.dropping.discard(account)
                    await self._request(socket, next(self._ids), "logsUnsubscribe", [subscription])
            shard.changed.clear()
            await shard.changed.wait()

    @staticmethod
    async def _request(
        socket: aiohttp.ClientWebSocketResponse, request_id: int, method: str, params: list[Any]
    ) -> None:
        body = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        try:
            await socket.send_str(msgspec.json.encode(body).decode())
        except (ConnectionError, RuntimeError) as error:
            raise SocketFaultError(f"it closed while asking for {method}") from error

    async def _read(self, shard: _Shard, socket: aiohttp.ClientWebSocketResponse) -> None:
        silence = self._limits.silence_seconds
        while True:
            try:
                # A node without slot notifications may be quiet for good reason; pings watch over it.
                frame = await socket.receive(timeout=silence if shard.beats else None)
            except TimeoutError:
                raise SocketFaultError(f"it has been silent for {silence:g} s") from None
            if frame.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
                raise SocketFaultError("the node closed it")
            message = _MESSAGE.decode(frame.data)
            if message.params is not None:
                self._notify(shard, message.params)
            elif message.id == shard.slots_id:
                shard.beats = message.error is None
            elif message.id is not None:
                self._answered(shard, message)
            if shard.asked and time.monotonic() - shard.answered_at > silence:
                raise SocketFaultError(f"it has not answered a subscription for {silence:g} s")

    def _notify(self, shard: _Shard, params: _Params) -> None:
        result = params.result
        if result.slot is not None:
            shard.slot = max(shard.slot, result.slot)
            return
        account = shard.watching.get(params.subscription)
        if account is None or result.value is None or result.context is None:
            return
        shard.slot = max(shard.slot, result.context.slot)
        self._listener.notified(
            account, result.value.signature, result.context.slot, failed=result.value.err is not None
        )

    def _answered(self, shard: _Shard, message: _Message) -> None:
        account = shard.asked.pop(message.id or 0, None)
        if account is None:
            return
        shard.answered_at = time.monotonic()
        shard.changed.set()
        if message.error is not None or not isinstance(message.result, int):
            self._refused(shard, account, message.error)
            return
        shard.watching[message.result] = account
        self._listener.subscribed(account, shard.slot)

    def _refused(self, shard: _Shard, account: str, error: _Error | None) -> None:
        """Take a refusal as the socket's limit reached, and move the account to another one."""
        if not shard.watching:
            raise SocketFaultError(f"it refuses subscriptions: {error.message if error else 'no reason'}")
        shard.room = min(shard.room, len(shard.watching))
        shard.accounts.discard(account)
        self.follow(account)
