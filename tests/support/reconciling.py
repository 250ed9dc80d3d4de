"""A reconciliation in a test, as a worker makes it."""

from ledger.reports import request_reconciliation
from tests.support.job_shop import fast_settings
from tests.support.ledger_rows import NO_NODE
from worker.context import open_worker_context
from worker.reports.run import run_report


async def reconcile(database_url):
    """Make a report of what the ledger holds; no node is asked."""
    async with open_worker_context(fast_settings(), database_url, [NO_NODE]) as context:
        run = await request_reconciliation(context.database, requested_by="test")
        assert await run_report(context, run) == run
