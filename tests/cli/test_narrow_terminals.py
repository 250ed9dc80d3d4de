"""Tables at a terminal of 80 columns: amounts, ids and addresses are whole on one line, and no line is too long."""

import asyncio
import datetime as dt
import re
import sys

import pytest

from ledger.webhooks import add_deliveries
from tests.support.api_client import key_for
from tests.support.command_line import environment, pay402
from tests.support.feed_publishing import log_event, publish
from tests.support.funded_jobs import ordered_job, waiting_payout
from tests.support.ledger_rows import NO_NODE
from tests.support.small_ledger import add_merchant, add_transfer
from tests.support.terminals import at_a_terminal

AT = dt.datetime(2026, 3, 1, 12, 30, 5, tzinfo=dt.UTC)
HUGE = 2**64 - 1


@pytest.fixture
def shown(home, database_url):
    async def run(*arguments, columns):
        command, env = (
            [sys.executable, "-m", "cli", *arguments],
            environment(home, {"DATABASE_URL": database_url, "SOLANA_RPC_URL": NO_NODE}),
        )
        text, refused, code = await asyncio.to_thread(at_a_terminal, command, env, shows="stdout", columns=columns)
        assert code == 0, refused
        return [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line) for line in text.splitlines()]

    return run


def assert_whole(lines, columns, *values):
    for line in lines:
        # A value that is longer than the terminal is alone in its line, and is copied whole.
        assert len(line) <= columns or re.fullmatch(r"[a-z ()A-Z]+  \S+", line), line
        assert "…" not in line or columns < 320, line
    for value in map(str, values):
        assert any(value in line for line in lines), (value, lines)


@pytest.mark.parametrize("columns", [80, 132, 320])
async def test_what_is_typed_again_and_what_is_money_is_whole(shown, pool, home, database_url, columns):
    async with pool.acquire() as connection:
        shop = await add_merchant(connection, "a shop with a rather long name", 1)
        operations = await add_merchant(connection, "operations", 2)
        await add_transfer(connection, shop, HUGE, at=AT)
    key = await key_for(pool, "a shop with a rather long name")
    await pool.execute("UPDATE api_keys SET last_used = now(), expires_at = now() + interval '9 days'")
    job = await ordered_job(pool, operations.wallet)
    payout = await waiting_payout(pool, job)
    url = "http://127.0.0.1:9/hooks/with/a/long/path/of/a/receiver"
    made = (await pay402("webhooks", "add", url, "--user", "shop", "--json", home=home, DATABASE_URL=database_url)).json
    await log_event(pool, "key.revoked", "shop")
    numbers = [entry.number for entry in (await publish(pool)).entries]
    async with pool.acquire() as connection:
        await add_deliveries(connection, numbers)
    assert_whole(await shown("payments", "list", columns=columns), columns, "18446744073709.551615")
    assert_whole(await shown("keys", "list", columns=columns), columns, key.rpartition("_")[0][:18])
    assert_whole(await shown("recipients", "list", columns=columns), columns, shop.wallet)
    assert_whole(await shown("payouts", "list", columns=columns), columns, payout, "2.5")
    assert_whole(await shown("webhooks", "list", columns=columns), columns, made["id"])
    assert_whole(await shown("webhooks", "deliveries", made["id"], columns=columns), columns, f"evt_{numbers[-1]}")
