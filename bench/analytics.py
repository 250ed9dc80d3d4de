"""Every analytics route over ledgers of ten thousand, a hundred thousand and a million transfers with their claims.

The ceiling is an answer of the same API without any sums (authentication, HTTP, JSON) plus the least that the database
can do, measured on a connection of our own: the count of the table for a whole list, otherwise one row by its key. A
route must answer within 100 ms and must not read the whole table of transfers, claims or events.
"""

import asyncio
from functools import partial
from typing import Final

import aiohttp

from bench.api_answers import median_seconds, serving_api, walked
from bench.conclusion import conclude
from bench.dataset import Ledger, bench_server, filled_ledger
from bench.keys import new_key
from bench.points import Point
from runtime.database import open_connection

_SIZES: Final = (10_000, 100_000, 1_000_000)
_SECONDS_MAX: Final = 0.1
_ADMIN: Final = "operations"
_MERCHANT: Final = "merchant-7"
_PERIODS: Final = ("hour", "day", "week", "month", "year")
_ROUTES: Final = (
    (_ADMIN, "transactions"),
    (_ADMIN, "transactions?status=finalized&currency=USDT&offset=1000"),
    (_ADMIN, "transactions?offset=10000"),
    (_ADMIN, "transactions?agentId=agent-7"),
    (_MERCHANT, "transactions"),
    *((_ADMIN, f"revenue?period={period}") for period in _PERIODS),
    (_MERCHANT, "revenue?period=year"),
    *((_ADMIN, f"top-agents?period={period}") for period in _PERIODS),
    (_MERCHANT, "top-agents?period=year"),
    (_ADMIN, "events"),
    (_ADMIN, "events?type=claim.finalized&agentId=agent-7"),
    (_MERCHANT, "events"),
    (_ADMIN, "reconciliation"),
)
_POINT_READ: Final = "SELECT version_num FROM alembic_version"
_TABLES: Final = ("transfers", "transactions", "events", "revenue_days", "agent_days", "agent_months")
# An answer on a large ledger must not do any of these.
_WALKS: Final = {f"Seq Scan {table}" for table in ("transfers", "transactions", "events")}


def run() -> bool:
    """Measure, print, write, draw; true when every route answers in time and reads no large table as a whole."""
    return asyncio.run(_measure())


async def _measure() -> bool:
    points: list[Point] = []
    loads = {}
    async with bench_server() as server:
        for size in _SIZES:
            async with filled_ledger(server, size, analytics=True) as ledger:
                loads[size] = ledger.load_seconds
                points += await _routes(ledger)
    walks = [f"{point.name}: {point.note}" for point in points if _WALKS & set(point.note.split(", "))]
    title = "Analytics routes over HTTP, warm, p50; the note names the tables and indexes that were walked"
    kept = conclude("analytics", title, points, size_name="transfers", more={"loadSeconds": loads, "walks": walks})
    return kept and not walks


async def _routes(ledger: Ledger) -> list[Point]:
    await _add_report(ledger)
    keys = {user: await _key(ledger, user) for user in (_ADMIN, _MERCHANT)}
    points = []
    async with (
        serving_api(ledger.dsn) as url,
        aiohttp.ClientSession() as http,
        open_connection(ledger.dsn) as connection,
    ):

        async def ask(user: str, path: str) -> None:
            async with http.get(f"{url}/analytics{path}", headers={"x-api-key": keys[user]}) as response:
                await response.read()
                response.raise_for_status()

        nothing = await median_seconds(partial(ask, _ADMIN, ""))
        for user, path in _ROUTES:
            work = partial(ask, user, f"/{path}")
            is_whole_list = user == _ADMIN and path in {"transactions", "events"}
            statement = f"SELECT count(*) FROM {path}" if is_whole_list else _POINT_READ  # noqa: S608 - names of ours
            ceiling = nothing + await median_seconds(partial(connection.fetch, statement))
            seconds = await median_seconds(work)
            # Reading a small table as a whole is best; only large tables count.
            note = await walked(connection, work, _TABLES) if ledger.transfers == _SIZES[-1] else ""
            name = f"{path} ({'all' if user == _ADMIN else 'one merchant'})"
            points.append(Point(name, ledger.transfers, seconds, ceiling, None, _SECONDS_MAX, note))
    return points


async def _key(ledger: Ledger, user: str) -> str:
    async with open_connection(ledger.dsn) as connection:
        return await new_key(connection, user, "read", *(["admin"] if user == _ADMIN else []))


async def _add_report(ledger: Ledger) -> None:
    """A report with as many findings as are stored at most: a thousand."""
    finding = {
        "kind": "unmatchedTransfer",
        "userId": _MERCHANT,
        "signature": "5" * 88,
        "path": "0",
        "mint": "1" * 32,
        "amountBaseUnits": "1",
        "expectedBaseUnits": None,
        "payer": None,
        "recipient": None,
        "nonce": None,
        "claimId": None,
        "code": None,
        "at": 0,
    }
    report = {
        "at": 0,
        "byMint": [],
        "byUser": [],
        "claims": [],
        "counts": {"unmatchedTransfer": 1000},
        "findings": {"unmatchedTransfer": [finding] * 1000},
        "audit": {"inDoubt": []},
    }
    async with open_connection(ledger.dsn) as connection:
        await connection.execute(
            "INSERT INTO reconciliation_runs (status, requested_by, report, finished_at)"
            " VALUES ('done', 'bench', $1, now())",
            report,
        )
