"""The entry of `pay402`: finds the command's module only when it is asked for.

Each module below `pay402.ops` offers `command`, a function, or `app`, a Typer with subcommands.
"""

import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from pay402.runtime.errors import OperatorError
from pay402.runtime.logging import scrub

COMMANDS: Final = {
    "demo": "Show the whole system at work: payers pay, the ledger fills.",
    "up": "Run everything together until SIGTERM.",
    "indexer": "Follow the recipients' wallets and write what happens into the ledger.",
    "recipients": "Wallets to follow: add, list, remove.",
    "decode": "Print what recorded transactions or blocks really moved.",
    "migrate": "The schema: up, down, status, dump.",
    "localnet": "A local Solana chain for demo, tests and benchmarks.",
}


class _LazyGroup(TyperGroup):
    """Lists every command, imports one."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands in the order of the list above."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, loaded; for help on all commands, a stand-in with its first line."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        if ctx.resilient_parsing or _wants_only_the_list():
            stand_in = typer.Typer()
            stand_in.command(cmd_name, help=COMMANDS[cmd_name])(lambda: None)
            return typer.main.get_command(stand_in)
        module = import_module(f"pay402.ops.{cmd_name}")
        loaded: typer.Typer
        if hasattr(module, "app"):
            loaded = module.app
        else:
            loaded = typer.Typer(add_completion=False)
            loaded.command(cmd_name)(module.command)
        command = typer.main.get_command(loaded)
        command.name = cmd_name
        return command


def _wants_only_the_list() -> bool:
    return not any(argument in COMMANDS for argument in sys.argv[1:])


app = typer.Typer(
    cls=_LazyGroup,
    help="402pay's payment ledger for Solana.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if show_version:
        typer.echo(f"pay402 {version('pay402')}")
        raise typer.Exit


def run() -> None:
    """Run the command line; expected failures are one sentence and a non-zero exit."""
    try:
        app()
    except OperatorError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not complain while it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("LOG_LEVEL", "").lower() == "debug":
            raise
        _say(
            f"unexpected {type(error).__name__}: {error}; this is a defect of pay402: "
            "run it again with LOG_LEVEL=debug and report what it prints."
        )
        sys.exit(70)


def _say(sentence: str) -> None:
    sys.stderr.write(f"error: {scrub(sentence)}\n")
