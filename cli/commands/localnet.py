"""`pay402 localnet`: a Solana chain of our own."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated, Final

import typer

from cli.printing import print_json
from cli.running import settings_for
from localnet import Localnet
from runtime.errors import OperatorError
from runtime.process import run_until_signal
from runtime.settings import Settings

# PubSub needs the port after it.
LAST_PORT: Final = 65534


def command(
    port: Annotated[
        int, typer.Option(help="JSON-RPC here, PubSub here and on the next port; 0 for any", min=0, max=LAST_PORT)
    ] = 8899,
    any_if_taken: Annotated[bool, typer.Option("--any-if-taken", help="Take any port where that one is taken")] = False,
    slot_seconds: Annotated[float, typer.Option(help="Seconds per slot", min=0.01)] = 0.4,
    finalize_slots: Annotated[int, typer.Option(help="Slots until a transaction is final", min=1)] = 32,
    seed: Annotated[int, typer.Option(help="Seed of forks and faults")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when ready")] = False,
) -> None:
    """Run a local Solana chain with the real token programs until SIGTERM.

    The devnet mints exist from the start. localnet_fundToken gives tokens, localnet_setFaults breaks things,
    localnet_fork abandons slots.

    Example: pay402 localnet --port 8899 --slot-seconds 0.1
    """

    async def main(stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            net = await listen(stack)
            if as_json:
                print_json({"rpc": net.rpc_url, "ws": net.ws_url})
            else:
                typer.echo(f"localnet: JSON-RPC at {net.rpc_url}, PubSub at {net.ws_url}; Ctrl-C ends it")
            await stop.wait()

    async def listen(stack: AsyncExitStack) -> Localnet:
        start = partial(Localnet.start, slot_seconds=slot_seconds, finalize_slots=finalize_slots, seed=seed)
        try:
            return await stack.enter_async_context(start(port=port))
        except OSError as error:
            if any_if_taken:
                return await stack.enter_async_context(start(port=0))
            raise OperatorError(
                f"Port {port} or {port + 1} is taken ({error.strerror}); choose another with --port, or 0."
            ) from error

    settings_for(Settings, "localnet", level="warning")
    run_until_signal(main)
