"""Hanging up so that the answer arrives: what a caller still sends is read and thrown away for a while.

Closing a connection that has unread bytes resets it, and the caller of a reset connection loses the answer. A caller
who writes a whole body before reading, as many clients do, would see a broken connection instead of a 413. How much is
thrown away, for how long, and for how many at once is bounded: see decision 50.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

LINGERING_BYTES_MAX: Final = 10_000_000
"""Of one connection: ten times the largest body that is allowed. Whoever sends more is reset."""
LINGERING_CONNECTIONS_MAX: Final = 64
"""Of one process. One more ends the one that has lingered longest; an honest caller is done in milliseconds."""
_IDLE_SECONDS: Final = 5.0


class LingeringConnections:
    """The connections of a process that linger, no more than `LINGERING_CONNECTIONS_MAX`."""

    def __init__(self) -> None:
        # In the order in which they began to linger.
        self._transports: dict[LingeringTransport, None] = {}

    def add(self, transport: "LingeringTransport") -> None:
        """Count one more, and reset the oldest if that is one too many."""
        self._transports[transport] = None
        if len(self._transports) > LINGERING_CONNECTIONS_MAX:
            oldest = next(iter(self._transports))
            self.remove(oldest)
            oldest.abort()

    def remove(self, transport: "LingeringTransport") -> None:
        """Count one less, if it was counted."""
        self._transports.pop(transport, None)


class LingeringTransport:
    """A transport whose `close` lingers where the caller still sends.

    `must_linger` says whether the caller does. Lingering ends when the caller hangs up, after `seconds` in all, after 5
    seconds without a byte, or after `LINGERING_BYTES_MAX`, whichever comes first.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        others: LingeringConnections,
        must_linger: Callable[[], bool],
        seconds: float,
    ) -> None:
        self._transport = transport
        self._others = others
        self._must_linger = must_linger
        self._seconds = seconds
        self._end: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._discarded = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property
    def is_lingering(self) -> bool:
        """True while the answer is sent and whatever else comes is thrown away."""
        return self._end is not None

    def is_closing(self) -> bool:
        """True as soon as it is to be closed."""
        return self.is_lingering or self._transport.is_closing()

    def close(self) -> None:
        """Close at once, or linger first where the caller still sends."""
        if self.is_closing():
            return
        if self._must_linger() and self._transport.can_write_eof():
            self._end = asyncio.get_running_loop().call_later(self._seconds, self._transport.abort)
            self._wait_for_more()
            self._transport.write_eof()
            self._transport.resume_reading()
            self._others.add(self)
        else:
            self._transport.close()

    def discard(self, data: bytes) -> None:
        """Throw away what came while lingering; reset whoever sends too much."""
        self._discarded += len(data)
        if self._discarded > LINGERING_BYTES_MAX:
            self._transport.abort()
        else:
            self._wait_for_more()

    def forget(self) -> None:
        """The connection is lost: there is nothing to close any more."""
        self._others.remove(self)
        for timer in (self._end, self._idle):
            if timer is not None:
                timer.cancel()

    def _wait_for_more(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._transport.abort)
