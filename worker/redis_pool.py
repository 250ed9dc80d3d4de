"""The connections to Redis that the schedule has open, each of which ends with it."""

from typing import Any, Final

from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

_CONNECT_SECONDS: Final = 2.0


class SchedulePool(ConnectionPool):
    """Connections to one Redis; once the pool is closed it opens no more, and closes what is given back.

    arq ends with tasks of its own still at work: it shields its last statement about a job from being cancelled, and
    when Redis refuses to enqueue one job, it goes on enqueueing the others. Each of them would open a connection again
    after the others were closed, and no one would close it.
    """

    _is_closed = False

    @classmethod
    def to(cls, url: str) -> "SchedulePool":
        """Return a pool of connections to the Redis at this URL; none is open yet."""
        return cls.from_url(url, socket_connect_timeout=_CONNECT_SECONDS)

    async def get_connection(self, *arguments: Any, **options: Any) -> AbstractConnection:
        """Return an open connection.

        Raises:
            redis.exceptions.ConnectionError: The pool is closed, or Redis cannot be reached.
        """
        if self._is_closed:
            raise RedisConnectionError("These connections were closed; open another pool.")
        connection: AbstractConnection = await super().get_connection(*arguments, **options)
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        """Take a connection back: to be used again, or to be closed if the pool is."""
        await super().release(connection)
        if self._is_closed:
            await connection.disconnect()

    async def aclose(self) -> None:
        """Close every connection, those in use included, and open none from now on."""
        self._is_closed = True
        await self.disconnect()


class SchedulePipeline(Pipeline):
    """Commands sent together, which let go of their connection however they end.

    redis-py keeps the connection where its reset is cancelled while it waits for the answer to UNWATCH.
    """

    async def reset(self) -> None:
        """Forget what was queued and watched, and give the connection back: closed, if this is cut short."""
        try:
            await super().reset()  # type: ignore[no-untyped-call]
        finally:
            connection, self.connection = self.connection, None
            if connection is not None:
                await connection.disconnect(nowait=True)
                await self.connection_pool.release(connection)


class ScheduleRedis(ArqRedis):
    """arq's client of Redis, over pipelines that let go of their connection."""

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> SchedulePipeline:
        """Return a pipeline; as a transaction, unless it is asked for without one."""
        return SchedulePipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
