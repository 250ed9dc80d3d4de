"""The question every test of the indexer asks: does the ledger equal the chain?"""

import asyncio
import time
from collections import Counter

from solders.pubkey import Pubkey

from cli.demo.recorded import received
from indexer.settings import IndexerSettings
from ledger.recipients import register_wallet
from ledger.tokens import NATIVE_SOL

FAST = {
    "METRICS_PORT": 0,
    "INDEXER_SILENCE_SECONDS": 2,
    "INDEXER_POLL_SECONDS": 1,
    "INDEXER_SCAN_SECONDS": 2,
    "INDEXER_PATIENCE_SECONDS": 3,
}


def fast_settings(**changes) -> IndexerSettings:
    """An indexer that notices and retries quickly."""
    return IndexerSettings(**{**FAST, **changes})


_SOMEBODY_WAITS = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
"""


async def somebody_waits(pool):
    """Wait until a statement waits for a lock that another transaction holds."""
    await eventually(lambda: pool.fetchval(_SOMEBODY_WAITS))


async def eventually(check, seconds=45.0, pause=0.02):
    """Wait until `check()` (may be async) gives something true; fail with its last answer."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {check}, last answer {found!r}")
        await asyncio.sleep(pause)


async def ledger_transfers(pool, wallets) -> Counter:
    """Every transfer that the ledger credits to the wallets, as `Market.expected` writes them."""
    rows = await received(pool, wallets)
    return Counter([(r.signature, r.mint, r.source, r.destination, r.credited) for r in rows])


async def ledger_equals_chain(pool, market, wallets=None, seconds=20.0):
    """Wait until the ledger holds what was paid to the wallets, transfer by transfer; fail with the difference."""
    await market.settled()
    deadline = time.monotonic() + seconds
    while True:
        chain, ledger = market.expected(), await ledger_transfers(pool, wallets or market.wallets)
        if chain == ledger:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"missing {chain - ledger}, too many {ledger - chain}")
        await asyncio.sleep(0.02)


async def balances_agree(pool, net):
    """Every followed token account's recorded changes add up to its balance on chain, and chain to each other."""
    rows = await pool.fetch(
        """
        SELECT account, min(pre) FILTER (WHERE rank = 1) AS first, sum(post - pre) AS moved
        FROM (
          SELECT *, rank() OVER (PARTITION BY account ORDER BY slot, recorded_at) FROM balance_changes
          WHERE finality <> 'orphaned' AND mint <> $1
        ) AS ranked
        GROUP BY account
        """,
        NATIVE_SOL,
    )
    assert rows
    for row in rows:
        on_chain = net.chain.true_token_balance(Pubkey.from_string(row["account"])) or 0
        assert row["moved"] == on_chain, row["account"]
    assert await pool.fetchval("SELECT count(*) FROM balance_changes WHERE unexplained <> 0") == 0


async def follow(pool, wallet, from_slot: int = 0) -> None:
    """Register a wallet, as `pay402 recipients add` does after its checks."""
    await register_wallet(pool, address=str(wallet), user_id="merchant", label=None, followed_from_slot=from_slot)
