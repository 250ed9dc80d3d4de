"""`pay402 settle`: move jobs and payouts on, once."""

from typing import Annotated

import typer

from cli.running import print_figures, with_worker_context
from worker.context import WorkerContext
from worker.escrow import Settled, settle


def command(as_json: Annotated[bool, typer.Option("--json", help="For scripts")] = False) -> None:
    """Fund jobs by what the ledger shows, make payouts and refunds, and send them. The worker does so by itself.

    Example: pay402 settle
    """

    async def work(context: WorkerContext) -> Settled:
        return await settle(context, sweep=True)

    print_figures(with_worker_context(work), as_json=as_json)
