"""The entry of `pay402`.

A command is one module below `cli`, imported when it is called and not before, so that `--help` is fast. The
module offers either `command`, a function, or `app`, a `typer.Typer` with subcommands. It raises OperatorError for
whatever an operator can mend. To add a command, write the module and name it in COMMANDS.
"""

import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from cli.help_style import PLAIN_HELP

# The module's name is the command's; the line is what `pay402 --help` says about it.
COMMANDS: Final = {
    "demo": "Show the whole system at work: payers pay, the ledger fills.",
    "up": "Run everything together until SIGTERM.",
    "indexer": "Follow the wallets and write what happens into the ledger.",
    "api": "Serve the HTTP API and the console.",
    "keys": "Keys of the API: create, list, rotate, revoke.",
    "worker": "Decide claims, move jobs on, send payouts, keep house.",
    "recipients": "Wallets to follow: add, list, for-tests, remove.",
    "services": "What the marketplace offers: list, for-tests.",
    "payments": "What wallets received: list, show, watch.",
    "events": "What happened, as merchants see it: list, tail.",
    "webhooks": "Who is sent events: add, list, deliveries, retry, remove.",
    "audit": "Prove the ledger complete, and heal what is not.",
    "backfill": "Record a stretch of history.",
    "reconcile": "Decide pending claims, then report what does not match.",
    "expire": "Mark what has expired, and remove what nobody needs any more.",
    "settle": "Move jobs and payouts on, once.",
    "seed": "Offer some examples on the marketplace.",
    "payouts": "What to pay out: list, export, sign, import, and more.",
    "export": "Write transfers, claims or payouts as CSV or Parquet.",
    "decode": "Print what recorded transactions or blocks really moved.",
    "doctor": "Examine everything a deployment stands on.",
    "migrate": "The schema: up, down, status, roles, dump.",
    "backup": "Write the whole database into one checksummed file.",
    "restore": "Bring a backup back into an empty database.",
    "localnet": "A local Solana chain for demo, tests and benchmarks.",
}


class _LazyGroup(TyperGroup):
    """Knows every command by name and help, and imports the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that `args` begin with, loaded, and the arguments that are left for it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else _load(name), rest


def _load(name: str) -> Any:
    module = import_module(f"cli.commands.{name}")
    loaded: typer.Typer | None = getattr(module, "app", None)
    if loaded is None:
        loaded = typer.Typer(**PLAIN_HELP)
        loaded.command(name)(module.command)
    command = typer.main.get_command(loaded)
    command.name = name
    return command


app = typer.Typer(
    cls=_LazyGroup,
    help="402pay's payment ledger for Solana.",
    no_args_is_help=True,
    **{**PLAIN_HELP, "add_completion": True},
    # Failures are reported by `run`; nobody but a developer wants a traceback.
    pretty_exceptions_enable=False,
)


def _stand_in() -> None:
    """Holds a command's place in the list of help; `_load` puts the command there when it is called."""


for _name, _line in COMMANDS.items():
    app.command(_name, help=_line)(_stand_in)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"pay402 {version('pay402')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None: ...


def run() -> None:
    """Run the command line: an expected failure is one line and an exit code, never a traceback."""
    try:
        # Not standalone: `report` prints a wrong command line as it does every other error.
        sys.exit(app(prog_name="pay402", standalone_mode=False))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last place that can print it
        from cli.errors import report

        sys.exit(report(error))
