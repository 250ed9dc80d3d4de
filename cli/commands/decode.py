"""`pay402 decode`: what recorded transactions or blocks really moved."""

import sys
from typing import Annotated

import msgspec
import typer

from cli.decoding.lines import line_of
from cli.decoding.recordings import observations_in
from runtime.errors import OperatorError


def command(
    files: Annotated[
        list[str],
        typer.Argument(help="Recorded answers of getTransaction or getBlock; .gz is read too, - is standard input"),
    ],
    slot: Annotated[int | None, typer.Option(help="The slot of a recorded block, which does not hold its own")] = None,
) -> None:
    """Print what recorded transactions moved, as JSON lines.

    One line per transaction; a summary goes to standard error. What no instruction explains stands under
    `unexplained`. A transaction of a block that cannot be read is named there; the others are printed.

    Example: pay402 decode block.json | jq 'select(.transfers != [])'
    """
    transactions = transfers = failed = unexplained = 0
    unreadable: list[str] = []
    for file in files:
        for observation in observations_in(file, unreadable):
            transactions += 1
            failed += observation.failed
            transfers += sum(1 for _ in observation.transfers)
            unexplained += len(observation.unexplained)
            sys.stdout.write(msgspec.json.encode(line_of(observation, slot)).decode() + "\n")
    sys.stdout.flush()
    sys.stderr.write(
        f"decode: {transactions} transactions, {failed} failed, {transfers} transfers, {unexplained} unexplained\n"
    )
    if unreadable:
        more = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
        raise OperatorError(f"{unreadable[0]}{more}; all others are printed; record it again in base64 or json.")
