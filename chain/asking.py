"""One question to every endpoint at once, for what none of them is to say alone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from chain.rpc import Endpoint, RpcError, RpcPool

T = TypeVar("T")

GRACE_SECONDS: Final = 2.0
"""How much longer than the others an endpoint may take that is slow, or has failed since it last answered."""


async def ask_each(
    pool: RpcPool,
    ask: Callable[[Endpoint], Awaitable[T]],
    *,
    enough: int | None = None,
    grace_seconds: float = GRACE_SECONDS,
) -> tuple[list[T], list[RpcError]]:
    """What endpoints answer, and the errors of those that fail; those that take too long are in neither list.

    One that has failed since it last answered is waited for no longer than `grace_seconds` once the others are done and
    one of them has answered. It is asked all the same, and waited for again once it has answered.

    Args:
        pool: Whose endpoints are asked.
        ask: Asks one of them.
        enough: Once so many have answered, the others may take `grace_seconds` longer, and one that has failed is not
            waited for. Whoever decides something counts the answers: fewer may have come.
        grace_seconds: See above.
    """
    answers, errors = list[T](), list[RpcError]()
    asked = {asyncio.ensure_future(ask(endpoint)): endpoint for endpoint in pool.endpoints}
    well = {task for task, endpoint in asked.items() if not endpoint.failures}
    waiting, loop = set(asked), asyncio.get_running_loop()
    ends_at: float | None = None
    try:
        while waiting:
            is_enough = enough is not None and len(answers) >= enough
            if is_enough and not waiting & well:
                break
            if ends_at is None and (is_enough or (answers and not waiting & well)):
                ends_at = loop.time() + grace_seconds
            seconds = None if ends_at is None else ends_at - loop.time()
            if seconds is not None and seconds <= 0:
                break
            done, waiting = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                try:
                    answers.append(task.result())
                except RpcError as error:
                    errors.append(error)
        for task in waiting - well:
            asked[task].go_on_asking(task)
    finally:
        ended = [task for task, endpoint in asked.items() if endpoint.being_asked is not task]
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
    return answers, errors
