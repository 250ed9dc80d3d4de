"""`pay402 settle`: move jobs and payouts on, once."""

from cli.contexts import with_worker_context
from cli.printing import AsJson, print_counts
from worker.context import WorkerContext
from worker.escrow import JobsMoved, move_jobs_and_payouts


def command(as_json: AsJson = False) -> None:
    """Fund jobs by what the ledger shows, make payouts and refunds, and send them. The worker does so by itself.

    Example: pay402 settle
    """

    async def work(context: WorkerContext) -> JobsMoved:
        return await move_jobs_and_payouts(context, sweep=True)

    print_counts(with_worker_context(work), as_json=as_json)
