"""A worker that publishes and sends, in a process of its own, for a test that kills it."""

import asyncio
import sys
from dataclasses import replace

from tests.support.job_shop import fast_settings
from worker.main import work_until
from worker.webhooks import sending


def say_ready(_: int | None) -> None:
    """Let whoever started us know."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


async def main(dsn: str, redis_url: str, rpc_url: str) -> None:
    """Work until killed; a retry comes soon, and a lease is short."""
    sending._BACKOFF = replace(sending._BACKOFF, first_seconds=0.05)
    settings = fast_settings(
        WORKER_WEBHOOK_POLL_SECONDS=0.05, WORKER_FEED_POLL_SECONDS=0.05, WORKER_WEBHOOK_ANSWER_SECONDS=1
    )
    await work_until(asyncio.Event(), settings, dsn, redis_url, [rpc_url], ready=say_ready)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
