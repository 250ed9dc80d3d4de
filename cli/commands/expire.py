"""`pay402 expire`: mark what has expired, and remove what nobody needs any more."""

from cli.contexts import with_worker_context
from cli.printing import AsJson, print_counts
from worker.housekeeping import expire


def command(as_json: AsJson = False) -> None:
    """Mark payment requests that have expired unpaid, end rotated keys, prune old rows. The worker does so by itself.

    Example: pay402 expire
    """
    print_counts(with_worker_context(expire), as_json=as_json)
