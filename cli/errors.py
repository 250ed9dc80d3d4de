"""What the command line says when something fails: one line on standard error, and an exit code."""

import os
import sys
import traceback
from typing import Any, Final

import typer

from runtime.errors import OperatorError
from runtime.logging import scrub

INTERRUPTED: Final = 130
# The schema is another than this version needs.
NOT_CURRENT: Final = 3
# EX_SOFTWARE of sysexits: the fault is ours, not the operator's.
DEFECT: Final = 70


def report(error: BaseException) -> int:
    """Print `error` for the operator and return the exit code.

    An OperatorError is its sentence, and so is a wrong command line. Anything else is a defect: its traceback is
    shown with LOG_LEVEL=debug.
    """
    if (expected := _operator_error(error)) is not None:
        _print_line(str(expected))
        return expected.exit_code
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED
    if (format_usage := getattr(error, "format_message", None)) is not None:
        return _report_usage(error, format_usage())
    if os.environ.get("LOG_LEVEL", "").lower() == "debug":
        traceback.print_exception(error)
        hint = "report it with the traceback above"
    else:
        hint = "run it again with LOG_LEVEL=debug and report what it prints"
    reason = str(error).partition("\n")[0]
    _print_line(f"this is a defect of pay402 ({type(error).__name__}: {reason}); {hint}.")
    return DEFECT


def _report_usage(error: Any, message: str) -> int:
    """Report what typer raises about a command line; its classes are not public, so they go by their attributes."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        command = error.ctx.command_path if getattr(error, "ctx", None) else "pay402"
        wrong, _, guess = " ".join(message.split()).rstrip(".").partition(". ")
        _print_line(f"{wrong}{f' ({guess})' if guess else ''}; see {command} --help.")
    return int(error.exit_code)


def _operator_error(error: BaseException) -> OperatorError | None:
    """The operator's error, also when tasks that failed together wrapped it."""
    if isinstance(error, OperatorError):
        return error
    # Most failures have nothing to do with the database, whose driver takes time to import.
    if "asyncpg" in sys.modules and (expected := _of_the_database(error)) is not None:
        return expected
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_operator_error, error.exceptions)), None)
    return None


def _of_the_database(error: BaseException) -> OperatorError | None:
    """What a failed statement asks of the operator; nothing where it is none, or a defect of ours."""
    from runtime.database_errors import (
        DATABASE_ERRORS,
        NO_RIGHT,
        READ_ONLY,
        DatabaseTrouble,
        sqlstate_of,
        trouble_of,
    )

    if not isinstance(error, DATABASE_ERRORS):
        return None
    reason = scrub(str(error).partition("\n")[0].rstrip("."))
    if sqlstate_of(error) == NO_RIGHT:
        # Each process has a login that can do no more than it has to, and commands are run with one of them.
        return OperatorError(
            f"The login of DATABASE_URL may not do this ({reason}); use the one of the process whose work "
            "it is, or the owner's: see Commands in docs/runbook.md."
        )
    if sqlstate_of(error) == READ_ONLY:
        return OperatorError(f"The database is read-only ({reason}); give DATABASE_URL of the primary.")
    match trouble_of(error):
        case DatabaseTrouble.AWAY:
            return OperatorError(f"The database went away ({reason}); see its log and run the same command again.")
        case DatabaseTrouble.REFUSED:
            return OperatorError(f"The database refuses this ({reason}); pay402 doctor says what it lacks.")
        case _:
            return None


def _print_line(sentence: str) -> None:
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble(("error: ", "bold red"), scrub(sentence))
    Console(stderr=True, highlight=False).print(line, soft_wrap=True)
