"""What the commands that run one pass of the worker share: they open its context, run the pass, print its figures."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, TypeVar

import msgspec
import typer

from chain.rpc import RpcError
from cli.system.localnet_address import solana_endpoints
from runtime.embedded import servers as embedded
from runtime.errors import OperatorError
from runtime.logging import configure_logging
from runtime.process import run_until_signal
from runtime.settings import load
from worker.context import WorkerContext, open_worker_context
from worker.settings import WorkerSettings

T = TypeVar("T")


def with_worker_context(work: Callable[[WorkerContext], Awaitable[T]]) -> T:
    """The result of `work` on an open context.

    Raises:
        OperatorError: The chain cannot be asked, or what it needs is not usable.
    """
    settings = load(WorkerSettings)
    configure_logging(settings.model_copy(update={"log_level": "error"}))
    rpc_urls, _ = solana_endpoints(settings)

    async def main(_: Any) -> T:
        async with embedded.database(settings) as dsn, open_worker_context(settings, dsn, rpc_urls) as context:
            try:
                return await work(context)
            except RpcError as error:
                raise OperatorError(
                    f"The chain cannot be asked: {error}; correct SOLANA_RPC_URL or try again."
                ) from error

    result = run_until_signal(main)
    assert result is not None
    return result


def print_figures(figures: Any, *, as_json: bool) -> None:
    """Print what a pass did: a dataclass of figures."""
    if as_json:
        typer.echo(msgspec.json.encode(figures).decode())
        return
    for name, value in asdict(figures).items():
        typer.echo(f"{value:>8}  {name.replace('_', ' ')}")
