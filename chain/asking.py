"""One question to every endpoint at once, for what none of them is to say alone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from chain.rpc import Endpoint, RpcError, RpcPool

T = TypeVar("T")


async def ask_each(
    pool: RpcPool, ask: Callable[[Endpoint], Awaitable[T]], *, grace_seconds: float | None = None
) -> tuple[list[T], list[RpcError]]:
    """What endpoints answer, and the errors of those that fail.

    Args:
        pool: Whose endpoints are asked.
        ask: Asks one of them.
        grace_seconds: How much longer than the first answer others may take; those that do are in neither list. All are
            waited for without it.
    """
    answers, errors = list[T](), list[RpcError]()
    asked = {asyncio.ensure_future(ask(endpoint)) for endpoint in pool.endpoints}
    try:
        waiting = set(asked)
        while waiting:
            done, waiting = await asyncio.wait(
                waiting, timeout=grace_seconds if answers else None, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for task in done:
                try:
                    answers.append(task.result())
                except RpcError as error:
                    errors.append(error)
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    return answers, errors
