"""`make bench [ARGS=name]`: run one measurement or all of them."""

import sys
from importlib import import_module
from typing import Final

SCENARIOS: Final = {
    "lag": "time from a notification to its committed row; ceiling: one RPC round trip plus one durable commit",
    "reconcile": "pending claims decided, and reports of up to a million transfers; ceilings: one statement each",
    "verify": "verifications a second; ceiling: a route that does nothing, in the same process",
    "scale": "following up to ten thousand accounts, memory, idle cost; ceiling: only asking and subscribing",
    "verify_scale": "a verification's statements on up to ten million transfers; ceiling: the smallest ledger",
    "ingest": "recorded answers of a node to committed rows; ceilings: decoding alone and COPY alone",
    "audit": "an audit of a hundred to ten thousand accounts; ceiling: the same RPC calls and reading the rows",
    "footprint": "memory, processor and RPC calls of an idle and of a busy system, by process and by method",
    "x402": "verifying and settling over x402; ceilings: the published facilitator, and the chain's own confirmation",
    "lists": "payments by every filter, for an admin and a heavy merchant; LISTS_SIZES=10000000 for larger ledgers",
    "start": "processor time until a command answers and the whole system is ready, memory; ceiling: bare Python",
    "webhooks": "from a commit to a receiver, alone and beside nine broken ones; ceiling: the HTTP client alone",
    "streams": "a thousand readers of the feed on one API process: memory, processor time, lag from a commit",
    "console": "every page of the console at a million transfers, median and p99; ceiling: a page without any list",
    "analytics": "every analytics route at ten thousand to a million transfers; ceiling: an answer without any sums",
}


def main() -> int:
    """Run the scenarios named on the command line; exit code 1 when a ratio misses its bound."""
    wanted = sys.argv[1:] or list(SCENARIOS)
    unknown = [name for name in wanted if name not in SCENARIOS]
    if unknown:
        print(f"error: no measurement is called {unknown[0]}; there are {', '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    results = [import_module(f"bench.{name}").run() for name in wanted]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
