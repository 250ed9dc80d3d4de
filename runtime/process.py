"""How a process of ours runs: until its work ends or a signal asks it to stop; then it drains and ends well."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

from runtime.errors import OperatorError

T = TypeVar("T")

# Kubernetes kills after 30 seconds: what is cut short before that still closes its resources.
_DRAIN_SECONDS: Final = 25.0

# Ctrl-C reaches every process of a terminal, and a supervisor then ends each of its own. A second signal within this
# time is the same order to stop, and no demand to stop without draining.
_SAME_ORDER_SECONDS: Final = 1.0

# Objects more than before that make Python look for circles: in the youngest generation, and how often in the others.
_COLLECT_AFTER: Final = (50_000, 20, 50)

SUPERVISOR_VARIABLE: Final = "PAY402_SUPERVISOR"
_SUPERVISOR_SECONDS: Final = 1.0


def run_until_signal(
    main: Callable[[asyncio.Event], Awaitable[T]], *, drain_seconds: float = _DRAIN_SECONDS
) -> T | None:
    """Run `main`, giving it the event that SIGTERM or SIGINT sets, and return what it returns.

    On the event `main` finishes what is under way and returns. If it has not after `drain_seconds`, or when a
    second signal comes, it is cancelled, which closes its resources all the same.

    Raises:
        OperatorError: It had to be cancelled.
    """

    async def supervise() -> T | None:
        stop = asyncio.Event()
        second = asyncio.Event()
        loop = asyncio.get_running_loop()

        stopped_at = 0.0

        def on_signal() -> None:
            nonlocal stopped_at
            if not stop.is_set():
                stopped_at = loop.time()
                stop.set()
            elif SUPERVISOR_VARIABLE not in os.environ or loop.time() - stopped_at > _SAME_ORDER_SECONDS:
                second.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        work = asyncio.ensure_future(main(stop))
        stopping = asyncio.ensure_future(stop.wait())
        orphaned = asyncio.ensure_future(_stop_with_supervisor(stop))
        try:
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                impatience = asyncio.ensure_future(second.wait())
                await asyncio.wait({work, impatience}, timeout=drain_seconds, return_when=asyncio.FIRST_COMPLETED)
                impatience.cancel()
            if not work.done():
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work
                reason = "a second signal came" if second.is_set() else f"{drain_seconds:g} s had passed"
                raise OperatorError(
                    f"Stopped before everything under way was finished: {reason}; the next start takes it up."
                )
            return work.result()
        finally:
            orphaned.cancel()
            stopping.cancel()
            work.cancel()

    collect_less_often()
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(supervise())


def collect_less_often() -> None:
    """Leave what was imported out of Python's garbage collection, and collect the rest less often.

    Every transaction, request and row makes objects by the dozen that die by themselves; looking for circles among
    all that live took a third of the time of recording.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


async def _stop_with_supervisor(stop: asyncio.Event) -> None:
    """End with the process of ours that started this one, even when that was killed and could send no signal."""
    supervisor = os.environ.get(SUPERVISOR_VARIABLE)
    while supervisor and os.getppid() == int(supervisor):  # noqa: ASYNC110 - the kernel has no event for it
        await asyncio.sleep(_SUPERVISOR_SECONDS)
    if supervisor:
        stop.set()


def freeze_startup_objects() -> None:
    """Take everything that start-up made out of garbage collection, for a process that answers within milliseconds.

    Modules, routes and schemas live as long as the process. Looking through all of them again and again found nothing
    and held every request up for 50 ms each time.
    """
    gc.collect()
    gc.freeze()


def instance_name() -> str:
    """What tells this process from others of its kind, on any machine."""
    return f"{socket.gethostname()}/{os.getpid()}"


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


@asynccontextmanager
async def working(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run background work; a defect in it ends the process instead of passing unnoticed."""
    owner = asyncio.current_task()
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None and owner is not None:
            owner.cancel()

    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield
    except asyncio.CancelledError:
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error from None
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
