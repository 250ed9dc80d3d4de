"""The connections to Redis that the schedule has open, each of which ends with it."""

from typing import Any, Final

from redis.asyncio import ConnectionPool
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
