"""Work that a signal ends at once: what it has begun is undone, and the operator is told."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from runtime.errors import OperatorError

T = TypeVar("T")


async def stoppable(stop: asyncio.Event, work: Coroutine[Any, Any, T], name: str) -> T:
    """The result of `work`, unless `stop` is set before.

    Raises:
        OperatorError: It was stopped.
    """
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise OperatorError(f"{name} was stopped before its end; run the same command again.")
    finally:
        stopping.cancel()
        working.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await working
