"""`pay402 settle`: move jobs and payouts on, once."""

from typing import Annotated

import typer

from cli.running import print_figures, with_workbench
from worker.context import Workbench
from worker.escrow import Settled, settle


def command(as_json: Annotated[bool, typer.Option("--json", help="For scripts")] = False) -> None:
    """Fund jobs by what the ledger shows, make payouts and refunds, and send them. The worker does so by itself.

    Example: pay402 settle
    """

    async def work(bench: Workbench) -> Settled:
        return await settle(bench, sweep=True)

    print_figures(with_workbench(work), as_json=as_json)
