"""Steps of money by name, so that tests can end the process before and after each of them.

Code marks its steps with `crash_point`; in production nobody watches them, and a mark does nothing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

OnStep = Callable[[str], Awaitable[None]]
"""Called with `before store`, `after store` and so on; what it raises ends the work there."""

_watcher: ContextVar[OnStep | None] = ContextVar("watcher", default=None)


@contextmanager
def watch_steps(on_step: OnStep) -> Iterator[None]:
    """Call `on_step` at every crash point that this task, and those it starts, reach meanwhile."""
    token = _watcher.set(on_step)
    try:
        yield
    finally:
        _watcher.reset(token)


@asynccontextmanager
async def crash_point(step: str) -> AsyncIterator[None]:
    """Mark what is inside as the step `step`: a watcher is called before it, and after it when it went well."""
    on_step = _watcher.get()
    if on_step is not None:
        await on_step(f"before {step}")
    yield
    if on_step is not None:
        await on_step(f"after {step}")
