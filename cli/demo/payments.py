"""How the demo's payers pay: a fixed round of every kind, or on and on until asked to stop."""

import asyncio
from contextlib import suppress
from typing import Final

import asyncpg
from rich.console import Console
from rich.live import Live
from rich.progress import Progress

from cli.demo.claims import Receipt
from cli.demo.ledger_table import ledger_table
from localnet.market import Market

SLOT_SECONDS: Final = 0.2
_ROUNDS: Final = 5
_CUTS: Final = 2


async def pay_fixed_round(console: Console, market: Market) -> list[Receipt]:
    """Pay every kind several times, cutting the indexer's socket in between."""
    receipts = []
    payments = [one for _ in range(_ROUNDS) for one in market.every_kind()]
    cuts = {len(payments) * (n + 1) // (_CUTS + 1) for n in range(_CUTS)}
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("paying", total=len(payments))
        for number, (payment, payer) in enumerate(payments):
            if number in cuts:
                await market.cut_sockets()
            receipts.append(Receipt(await market.pay(payment, payer), payment, payer))
            progress.advance(bar)
            # Spread over many slots, so that a cut falls between payments and not after them all.
            await asyncio.sleep(SLOT_SECONDS / 3)
    await market.settled()
    return receipts


async def pay_until(stop: asyncio.Event, console: Console, pool: asyncpg.Pool, market: Market) -> None:
    """Pay a few times a second, showing the ledger, until asked to stop."""
    with Live(console=console, refresh_per_second=4) as live:
        while not stop.is_set():
            for payment, payer in market.every_kind():
                if stop.is_set():
                    break
                await market.pay(payment, payer)
                live.update(await ledger_table(pool, market))
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await stop.wait()
    await market.settled()
