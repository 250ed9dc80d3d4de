"""`pay402 up`: everything together."""

import asyncio
from typing import Annotated

import typer

from cli.printing import print_json
from cli.running import settings_for
from cli.system.processes import SystemSettings, running_system, watch
from runtime.process import run_until_signal


def command(
    rpc_port: Annotated[
        int | None,
        typer.Option(help="Port of the localnet; 0 for any. Default: 8899, or any when taken", min=0, max=65534),
    ] = None,
    slot_seconds: Annotated[float, typer.Option(help="Seconds per slot of the localnet", min=0.01)] = 0.4,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when ready")] = False,
) -> None:
    """Run everything together until SIGTERM: what is not configured is embedded below PAY402_HOME.

    Example: pay402 up --json
    """

    async def main(stop: asyncio.Event) -> None:
        async with running_system(settings, rpc_port=rpc_port, slot_seconds=slot_seconds, say=say) as system:
            ready = system.ready_line()
            if as_json:
                print_json(ready)
            else:
                for name, value in ready.items():
                    if value is not None:
                        typer.echo(f"{name:15} {value}")
                typer.echo("ready; Ctrl-C ends everything")
            await watch(system, stop)

    def say(part: str) -> None:
        if not as_json:
            typer.echo(f"starting {part}")

    settings = settings_for(SystemSettings, "system")
    run_until_signal(main)
