"""Lists of payments over ledgers of ten thousand and a million transfers, to ten and to a thousand wallets.

A third of all transfers are to one merchant. Each list is read as an admin and as that merchant, by filters that find
much, little and nothing. The ceiling is a page of as many transfers read by their keys. A list must be there within 100
ms, and its plan must not read the whole table. `LISTS_SIZES=10000000` measures ledgers of other sizes.
"""

import asyncio
import datetime as dt
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import asyncpg

from bench.conclusion import conclude
from bench.dataset import Ledger, bench_server, filled_ledger
from bench.points import Point
from ledger.transfers import TransferFilter, page_of_transfers
from runtime.database import open_connection, open_pool

_SIZES: Final = (10_000, 1_000_000)
_WALLETS: Final = (10, 1_000)
_HEAVY: Final = "merchant-0"
_HEAVY_PERCENT: Final = 33
_LIMIT: Final = 51
_ROUNDS: Final = 20
_SECONDS_MAX: Final = 0.1
_NOBODY: Final = "1" * 40
_RARE: Final = "9" * 40
_NOW: Final = dt.datetime.now(dt.UTC)
_FILTERS: Final = {
    "everything": TransferFilter(),
    "a rare payer": TransferFilter(payer=_RARE),
    "a payer who never paid": TransferFilter(payer=_NOBODY),
    "a rare mint": TransferFilter(mint=_RARE),
    "forks": TransferFilter(finalities=["orphaned"]),
    "the last day": TransferFilter(since=_NOW - dt.timedelta(days=1)),
    "nothing since": TransferFilter(since=_NOW + dt.timedelta(days=1)),
    "a year ago": TransferFilter(until=_NOW - dt.timedelta(days=364)),
    "a day, a year ago": TransferFilter(since=_NOW - dt.timedelta(days=364), until=_NOW - dt.timedelta(days=363)),
}
# The oldest of all: whoever looks for them from the newest on reads the whole history.
_MAKE_RARE: Final = """
UPDATE transfers SET
  source_owner = $1, mint = $1, finality = 'orphaned'
WHERE slot < 1010
"""
_BY_KEY: Final = "SELECT * FROM transfers WHERE signature = ANY($1)"


def run() -> bool:
    """Measure, print, write, draw; true when each list is there in time and reads no table as a whole."""
    return asyncio.run(_measure())


async def _measure() -> bool:
    points: list[Point] = []
    sizes = [int(size) for size in os.environ.get("LISTS_SIZES", "").split(",") if size] or _SIZES
    async with bench_server() as server:
        for size in sizes:
            for wallets in _WALLETS:
                filled = filled_ledger(server, size, claims=0, merchants=wallets, heavy_percent=_HEAVY_PERCENT)
                async with filled as ledger:
                    points += await _lists(ledger, wallets)
    walks = [point.name for point in points if point.note]
    title = "Lists of payments, a page of 51, warm, p50; the note says which tables were read as a whole"
    kept = conclude("lists", title, points, size_name="transfers", more={"walks": walks})
    return kept and not walks


async def _lists(ledger: Ledger, wallets: int) -> list[Point]:
    points = []
    async with open_connection(ledger.dsn) as connection, open_pool(ledger.dsn, application="bench") as pool:
        await connection.execute(_MAKE_RARE, _RARE)
        await connection.execute("VACUUM ANALYZE transfers")
        keys = await connection.fetch("SELECT signature FROM transfers ORDER BY slot DESC LIMIT $1", _LIMIT)
        ceiling = await _median(partial(connection.fetch, _BY_KEY, [row["signature"] for row in keys]))
        for user in (None, _HEAVY):
            for name, one in _FILTERS.items():
                wanted = TransferFilter(user, None, one.payer, one.mint, one.finalities, one.since, one.until)
                work = partial(page_of_transfers, pool, wanted, after=None, limit=_LIMIT)
                seconds = await _median(work)
                # Reading a small table as a whole is best; only large tables count.
                note = await _walked(connection, work) if ledger.transfers > min(_SIZES) else ""
                whose = "a heavy merchant" if user else "all"
                label = f"{name} ({whose}, {wallets:,} wallets)"
                points.append(Point(label, ledger.transfers, seconds, ceiling, None, _SECONDS_MAX, note))
    return points


async def _median(work: Callable[[], Awaitable[Any]]) -> float:
    for _ in range(3):
        await work()
    seconds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        await work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


async def _walked(connection: "asyncpg.Connection[Any]", work: Callable[[], Awaitable[Any]]) -> str:
    """`Seq Scan` where the list read the whole table, by the server's counter, else nothing."""
    count = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'transfers'"
    # A session updates the counters at most once a second.
    await asyncio.sleep(1.1)
    await work()
    before = await connection.fetchval(count)
    await work()
    await asyncio.sleep(1.1)
    await work()
    return "Seq Scan" if await connection.fetchval(count) > before else ""
