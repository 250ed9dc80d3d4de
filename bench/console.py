"""Every page of the console over a ledger of a million transfers with their claims, of a thousand wallets.

A third of all is one merchant's. Each page is asked for over HTTP, in a session, by an admin and by that merchant. The
ceiling is a page without any list, in the same process. The overview must be there within 200 ms and every other page
within 100 ms, by the median, and none may read a large table as a whole. `CONSOLE_SIZES=10000` measures ledgers of
other sizes.
"""

import asyncio
import os
import re
import statistics
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import aiohttp

from bench.api_answers import durations, serving_api, walked
from bench.conclusion import conclude
from bench.dataset import Ledger, bench_server, filled_ledger
from bench.keys import new_key
from bench.points import Point
from ledger.sql import load_queries
from localnet import Localnet
from runtime.database import open_connection

_queries = load_queries("bench", "console.sql")

_SIZES: Final = (1_000_000,)
_WALLETS: Final = 1_000
_HEAVY: Final = "merchant-0"
_HEAVY_PERCENT: Final = 33
_ROUNDS: Final = 60
_OVERVIEW_SECONDS_MAX: Final = 0.2
_PAGE_SECONDS_MAX: Final = 0.1
_CHANGES: Final = 100_000
_NOT_AUDITED: Final = 1_000
_CEILING: Final = "/console/keys/new"
_PAGES: Final = (
    "/console",
    "/console/payments",
    "/console/payments?recipient={wallet}",
    "/console/payments?status=finalized&currency=USDT",
    "/console/payments?status=reversed",
    "/console/payments?q=1.2345",
    "/console/payments/{signature}",
    "/console/requests",
    "/console/requests/{nonce}",
    "/console/webhooks/{webhook}",
    "/console/webhooks/{webhook}?status=failed",
    "/console/keys",
    "/console/keys?show=all&after={key_prefix}",
    "/console/wallets",
    "/console/wallets?after={wallet}",
    "/console/audit",
    "/console/audit?show=doubt",
)
_OF_ADMINS: Final = ("/console/audit/{account}", "/console/wallets/{wallet}")
_LARGE: Final = ("transfers", "transactions", "events", "nonces", "balance_changes", "feed", "webhook_deliveries")


def run() -> bool:
    """Measure, print, write, draw; true when each page is there in time and reads no large table as a whole."""
    return asyncio.run(_measure())


async def _measure() -> bool:
    points: list[Point] = []
    sizes = [int(size) for size in os.environ.get("CONSOLE_SIZES", "").split(",") if size] or _SIZES
    async with bench_server() as server:
        for size in sizes:
            filled = filled_ledger(server, size, merchants=_WALLETS, heavy_percent=_HEAVY_PERCENT, analytics=True)
            async with filled as ledger:
                points += await _pages(ledger)
    walks = [f"{point.name}: {point.note}" for point in points if "Seq Scan" in point.note]
    title = "Pages of the console over HTTP, warm, p50; the note has the p99, and which tables were read as a whole"
    kept = conclude("console", title, points, size_name="transfers", more={"walks": walks})
    return kept and not walks


async def _pages(ledger: Ledger) -> list[Point]:
    keys, names = await _fill(ledger)
    points = []
    async with (
        Localnet.start(slot_seconds=1.0) as node,
        serving_api(ledger.dsn, node.rpc_url) as url,
        open_connection(ledger.dsn) as connection,
    ):
        for whose, key in keys.items():
            async with aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
                await _sign_in(http, key)
                ceiling = statistics.median(await durations(partial(_look, http, _CEILING), _ROUNDS))
                for pattern in (*_PAGES, *(_OF_ADMINS if whose == "all" else ())):
                    work = partial(_look, http, pattern.format_map(names))
                    seconds = sorted(await durations(work, _ROUNDS))
                    note = f"p99 {1000 * seconds[-1 - len(seconds) // 100]:.1f} ms"
                    read = (await walked(connection, work, _LARGE)).split(", ") if ledger.transfers > _CHANGES else []
                    note = ", ".join([note, *(one for one in read if one.startswith("Seq Scan"))])
                    bound = _OVERVIEW_SECONDS_MAX if pattern == "/console" else _PAGE_SECONDS_MAX
                    name = f"{pattern} ({whose})"
                    points.append(Point(name, ledger.transfers, statistics.median(seconds), ceiling, None, bound, note))
    return points


async def _fill(ledger: Ledger) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """Add what pages show besides payments; returns a key of an admin and of a merchant, and names of one of each."""
    part = max(1, ledger.transfers // 10)
    async with open_connection(ledger.dsn, statement_timeout_seconds=600.0) as connection:
        await _queries.make_accounts(connection)
        await _queries.make_changes(connection, changes=_CHANGES, accounts=_WALLETS)
        await _queries.audit_first_account(connection, slot=_CHANGES - _NOT_AUDITED)
        await _queries.make_requests(connection, requests=part, merchants=_WALLETS)
        await _queries.make_keys(connection, keys=10_000, merchants=_WALLETS)
        await _queries.make_feed(connection, entries=part, merchants=_WALLETS)
        await _queries.make_deliveries(connection, merchants=_WALLETS)
        await connection.execute("VACUUM ANALYZE")
        keys = {
            "all": await new_key(connection, "operations", "read", "write", "admin"),
            "a heavy merchant": await new_key(connection, _HEAVY, "read", "write"),
        }
        names = await _queries.one_of_each(connection, user_id=_HEAVY)
        return keys, dict(names)


async def _look(http: aiohttp.ClientSession, path: str) -> str:
    async with http.get(path, allow_redirects=False) as response:
        text = await response.text()
        if response.status != 200:  # noqa: PLR2004 - anything else would be measured as very fast
            raise RuntimeError(f"{path} answers {response.status}; the measurement asks for pages that exist.")
        return text


async def _sign_in(http: aiohttp.ClientSession, key: str) -> None:
    found = re.search(r'name="form_token" value="(\w+)"', await _look(http, "/console/sign-in"))
    if found is None:
        raise RuntimeError("The page to sign in at has no form; the measurement has to follow it.")
    form = {"form_token": found.group(1), "key": key}
    async with http.post("/console/sign-in", data=form, allow_redirects=False) as response:
        response.raise_for_status()
