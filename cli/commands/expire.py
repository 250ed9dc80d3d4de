"""`pay402 expire`: mark what has expired, and remove what nobody needs any more."""

from typing import Annotated

import typer

from cli.running import print_figures, with_worker_context
from worker.housekeeping import expire


def command(as_json: Annotated[bool, typer.Option("--json", help="For scripts")] = False) -> None:
    """Mark payment requests that have expired unpaid, end rotated keys, prune old rows. The worker does so by itself.

    Example: pay402 expire
    """
    print_figures(with_worker_context(expire), as_json=as_json)
