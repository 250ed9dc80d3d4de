"""A payer in a separate process, so that paying does not slow the measured process down."""

import asyncio
import sys
import time

from localnet import payments as pay
from localnet.market import open_market


async def main(rpc_url: str, rate: int, count: int) -> None:
    """Pay `count` times at `rate` per second, and return when all is confirmed."""
    async with open_market(rpc_url, payers=3, recipients=2) as market:
        payer, recipient = market.payers[0], market.recipients[0].pubkey()
        due = time.monotonic()
        for n in range(count):
            await market.pay(pay.plain(payer.pubkey(), recipient, rate * 100_000 + n), payer)
            due += 1 / rate
            await asyncio.sleep(max(due - time.monotonic(), 0))
        await market.settled()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
