"""What commands share that do a pass of the worker or of the indexer: they open what those work with."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from chain.rpc import RpcError
from cli.running import run_to_end, settings_for
from cli.system.localnet_address import solana_endpoints
from indexer.settings import IndexerSettings
from runtime.embedded.servers import database_address
from runtime.errors import OperatorError

if TYPE_CHECKING:
    from indexer.context import IndexerContext
    from worker.context import WorkerContext

T = TypeVar("T")


def with_worker_context(work: Callable[["WorkerContext"], Awaitable[T]]) -> T:
    """The result of one pass of the worker, or of several.

    Raises:
        OperatorError: The chain cannot be asked, or what the worker needs is not usable.
    """
    # Late, here and below: a command needs one of the two, and each takes half a second to import.
    from worker.context import open_worker_context
    from worker.settings import WorkerSettings

    settings = settings_for(WorkerSettings, level="error")
    rpc_urls, _ = solana_endpoints(settings)

    async def main(_: asyncio.Event) -> T:
        async with (
            database_address(settings) as dsn,
            open_worker_context(settings, dsn, rpc_urls) as context,
        ):
            return await _asking_the_chain(work(context))

    return run_to_end(main)


def with_indexer_context(
    work: Callable[["IndexerContext", asyncio.Event], Awaitable[T]], *, level: str | None = None
) -> T:
    """The result of `work` on what an indexer works with, and on the event that a signal sets.

    Raises:
        OperatorError: The chain cannot be asked, or what the indexer needs is not usable.
    """
    from indexer.context import open_context

    settings = settings_for(IndexerSettings, level=level)
    rpc_urls, _ = solana_endpoints(settings)

    async def main(stop: asyncio.Event) -> T:
        async with database_address(settings) as dsn, open_context(settings, dsn, rpc_urls) as context:
            return await _asking_the_chain(work(context, stop))

    return run_to_end(main)


async def _asking_the_chain(work: Awaitable[T]) -> T:
    try:
        return await work
    except RpcError as error:
        raise OperatorError(f"The chain cannot be asked: {error}; correct SOLANA_RPC_URL or try again.") from error
