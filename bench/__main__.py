"""`make bench [ARGS=name]`: run one measurement or all of them."""

import sys
from importlib import import_module
from typing import Final

SCENARIOS: Final = {
    "lag": "from a notification to its committed row, against one RPC round trip plus one durable commit",
    "reconcile": "one to thirty thousand pending claims decided in one pass, against the least that has to be written",
    "verify": "verifications a second against a route that does nothing, in the same process",
    "scale": "following up to ten thousand accounts, against asking and subscribing alone; memory, idle cost",
    "verify_scale": "a verification's statements over ten thousand to ten million transfers, against the smallest",
    "ingest": "recorded answers to committed rows, against decoding alone and COPY alone",
    "audit": "an audit of a hundred to ten thousand accounts, against asking and reading alone",
    "footprint": "memory, processor and RPC calls of an idle and of a busy system, by process and by method",
    "analytics": "every analytics route at ten thousand to a million transfers, against its answer without figures",
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
