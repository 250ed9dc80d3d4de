"""`pay402 localnet`: a Solana chain of our own."""

import asyncio
import json
from typing import Annotated

import typer

from pay402.localnet import Localnet
from pay402.runtime.errors import OperatorError
from pay402.runtime.logging import configure_logging
from pay402.runtime.process import run_until_signal
from pay402.runtime.settings import Settings


def command(
    port: Annotated[
        int, typer.Option(help="JSON-RPC here, PubSub here and on the next port; 0 for any")
    ] = 8899,
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
        try:
            async with Localnet.start(
                port=port, slot_seconds=slot_seconds, finalize_slots=finalize_slots, seed=seed
            ) as net:
                if as_json:
                    typer.echo(json.dumps({"rpc": net.rpc_url, "ws": net.ws_url}))
                else:
                    typer.echo(f"localnet: JSON-RPC at {net.rpc_url}, PubSub at {net.ws_url}; Ctrl-C ends it")
                await stop.wait()
        except OSError as error:
            raise OperatorError(
                f"Port {port} or {port + 1} is taken ({error.strerror}); choose another with --port, or 0."
            ) from error

    configure_logging(Settings(log_level="warning"))
    run_until_signal(main)
