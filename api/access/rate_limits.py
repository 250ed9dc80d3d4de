"""Rate limits per minute, shared by all replicas through Redis and kept by each alone while Redis is away.

A replica counts in memory and adds its counts to Redis: with the request itself for the first request of somebody
in a minute and wherever the limit is near, otherwise a moment later and many at once. So a limit holds over all
replicas, and most requests need not wait for Redis.
"""

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Final

import structlog
from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from redis.exceptions import RedisError

from api.http.errors import ApiError
from api.metrics import ApiMetrics

_log = structlog.get_logger(__name__)

_WINDOW_SECONDS: Final = 60
_SYNC_SECONDS: Final = 0.25
# Redis may take so long before a request goes on without it, and is left alone for so long after a failure.
_PATIENCE_SECONDS: Final = 0.25
_REST_SECONDS: Final = 1.0
# From this share of a limit on, every request is counted in Redis before it is served.
_NEAR: Final = 0.8
_SMALL_LIMIT: Final = 100
# Callers that are remembered in a minute; beyond, whoever was counted first is counted anew.
_SUBJECTS_MAX: Final = 100_000


@dataclass(slots=True)
class _Count:
    """One caller's requests in this minute.

    Attributes:
        own: Those that came to this replica.
        shared: How many of them Redis has counted.
        others: Those of other replicas, as far as Redis has said so.
        sharing: What sends Redis those that it has not counted, while it does.
    """

    own: int = 0
    shared: int = 0
    others: int = 0
    sharing: asyncio.Task[None] | None = None


class RateLimits:
    """Counts requests; `hit` refuses the one that is too many."""

    def __init__(self, redis_url: str, metrics: ApiMetrics) -> None:
        self._storage = RedisStorage(f"async+{_limits_scheme(redis_url)}", implementation="redispy")
        self._metrics = metrics
        self._window = 0
        self._counts: dict[str, _Count] = {}
        self._resting_until = 0.0

    async def hit(self, name: str, subject: str, limit: int) -> None:
        """Count a request of `subject` against the limit called `name`; 0 is no limit.

        Raises:
            ApiError: 429, when it is one too many.
        """
        if limit == 0:
            return
        now = time.time()
        if (window := int(now // _WINDOW_SECONDS)) != self._window:
            self._window, self._counts = window, {}
        key = f"{name}/{subject}/{window}"
        count = self._counts.get(key)
        is_first = count is None
        if count is None:
            if len(self._counts) >= _SUBJECTS_MAX:
                del self._counts[next(iter(self._counts))]
            count = self._counts[key] = _Count()
        count.own += 1
        # Which one of this minute it is. What arrives together must not be refused for each other's sake.
        mine = count.own
        if is_first or limit <= _SMALL_LIMIT or mine + count.others > limit * _NEAR:
            await self._share(key, count)
        number = mine + count.others
        if number > limit:
            self._metrics.rate_limited.labels(name).inc()
            raise _too_many(name, limit, _WINDOW_SECONDS - now % _WINDOW_SECONDS)

    async def run(self) -> None:
        """Send Redis the counts that it does not have yet, until cancelled; then close the connection."""
        try:
            while True:
                await asyncio.sleep(_SYNC_SECONDS)
                for key, count in list(self._counts.items()):
                    if count.shared < count.own:
                        await self._share(key, count)
        finally:
            # The library does not close what it opens.
            if isinstance(bridge := self._storage.bridge, RedispyBridge):
                await bridge.storage.aclose()

    async def _share(self, key: str, count: _Count) -> None:
        """Add this replica's new counts to those in Redis; return once they are added, or at once while Redis is away.

        Requests that come in meanwhile are added by the next call, all together.
        """
        mine = count.own
        while count.shared < mine and time.monotonic() >= self._resting_until:
            if count.sharing is None:
                count.sharing = asyncio.create_task(self._send(key, count))
            # Whoever hangs up must not take the answer from the others.
            await asyncio.shield(count.sharing)

    async def _send(self, key: str, count: _Count) -> None:
        own = count.own
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                total: int = await self._storage.incr(key, _WINDOW_SECONDS * 2, amount=own - count.shared)
        except (RedisError, OSError, TimeoutError) as error:
            self._away(error)
        else:
            count.shared = own
            # A Redis that was flushed knows less than we do.
            count.others = max(count.others, total - own)
            self._metrics.redis_calls.labels("ok").inc()
            self._metrics.redis_up.set(1)
        finally:
            count.sharing = None

    def _away(self, error: BaseException) -> None:
        self._metrics.redis_calls.labels("error").inc()
        self._metrics.redis_up.set(0)
        self._resting_until = time.monotonic() + _REST_SECONDS
        _log.warning("limits_not_shared", error=str(error) or type(error).__name__)


def _limits_scheme(redis_url: str) -> str:
    """The address as the library `limits` has it, which calls `unix://` by another name."""
    return redis_url.replace("unix://", "redis+unix://", 1) if redis_url.startswith("unix://") else redis_url


def _too_many(name: str, limit: int, seconds: float) -> ApiError:
    reset = max(math.ceil(seconds), 1)
    return ApiError(
        429,
        "RATE_LIMIT_EXCEEDED",
        f"More than {limit} requests in a minute; come again in {reset} seconds.",
        headers={
            "Retry-After": str(reset),
            "RateLimit-Policy": f'"{name}";q={limit};w={_WINDOW_SECONDS}',
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": str(reset),
        },
    )
