"""The steps of a payout by name, so that tests can end the process before and after each of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

STEPS: Final = ("make", "settle", "check", "sign", "store", "broadcast", "note", "end")
"""In the order in which a payout takes them; `end` only where a transaction could never land."""

OnStep = Callable[[str], Awaitable[None]]
"""Told `before store`, `after store` and so on."""


async def nobody(_: str) -> None:
    """Whom nothing is to be told."""


@asynccontextmanager
async def around(on_step: OnStep, step: str) -> AsyncIterator[None]:
    """Tell before and after `step`; after it only when it went well."""
    assert step in STEPS
    await on_step(f"before {step}")
    yield
    await on_step(f"after {step}")
