"""A node in a separate process with two ports: one counts calls, for the measured system; the other is for the payers.

Run as `python -m bench.node SLOT_SECONDS`; prints one JSON line when both listen, and ends with SIGTERM.
"""

import asyncio
import sys

import msgspec

from localnet import Localnet
from runtime.process import run_until_signal


def main() -> None:
    """Serve until SIGTERM."""
    slot_seconds = float(sys.argv[1])

    async def serve(stop: asyncio.Event) -> None:
        async with (
            Localnet.start(slot_seconds=slot_seconds) as counted,
            Localnet.start(chain=counted.chain) as for_payers,
        ):
            where = {"rpc": counted.rpc_url, "ws": counted.ws_url, "payers": for_payers.rpc_url}
            print(msgspec.json.encode(where).decode(), flush=True)
            await stop.wait()

    run_until_signal(serve)


if __name__ == "__main__":
    main()
