"""The demo's ledger held against what its payers paid and what accounts hold on chain."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

import asyncpg

from cli.demo.recorded import last_balances, received, unexplained_count
from localnet.market import Market, TransferKey

WAIT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The ledger held against what payers did and what accounts hold on chain."""

    chain: int
    ledger: int
    missing: int
    doubled: int
    unexplained: int

    @property
    def is_good(self) -> bool:
        """True when ledger and chain agree in every transfer and every balance."""
        return self.chain == self.ledger and not (self.missing or self.doubled or self.unexplained)

    def line(self) -> str:
        """The demo's last line."""
        return (
            f"demo: chain {self.chain} transfers, ledger {self.ledger}, missing {self.missing}, "
            f"doubled {self.doubled}, unexplained {self.unexplained}"
        )


async def judge_when_complete(pool: asyncpg.Pool, market: Market) -> Verdict:
    """The verdict, once it is good or waiting no longer helps."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        verdict = await _judge(pool, market)
        if verdict.is_good or time.monotonic() > deadline:
            return verdict
        await asyncio.sleep(0.1)


async def _judge(pool: asyncpg.Pool, market: Market) -> Verdict:
    chain = market.expected()
    rows = await received(pool, market.wallets)
    ledger: Counter[TransferKey] = Counter(
        (row.signature, row.mint, row.source, row.destination, row.credited) for row in rows
    )
    balances = await market.balances()
    recorded = await last_balances(pool, market.wallets)
    astray = sum(1 for account, balance in balances.items() if recorded.get(account, 0) != balance)
    return Verdict(
        chain=chain.total(),
        ledger=ledger.total(),
        missing=(chain - ledger).total(),
        doubled=(ledger - chain).total(),
        unexplained=await unexplained_count(pool) + astray,
    )
