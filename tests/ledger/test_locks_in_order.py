"""Statements that lock transfers do so in the order of signatures, so that no two wait for each other in a circle."""

import asyncio
import datetime as dt

import asyncpg
import pytest

from ledger import finality
from ledger.claims import claim_settled
from ledger.finality import Landing
from tests.support.ledger_checks import eventually
from tests.support.settlement_rows import land, reserved
from tests.support.small_ledger import add_merchant

SOMEBODY_WAITS = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
"""
AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


async def _finalize(database, made):
    await finality.finalize(database, [Landing(payment.signature, 7) for payment, _ in made])


async def _orphan(database, made):
    await finality.orphan(database, [Landing(payment.signature, 7) for payment, _ in made])


async def _witness(database, made):
    await finality.witnessed(database, [Landing(payment.signature, 7) for payment, _ in made])


async def _contest(database, made):
    await finality.contest(database, [Landing(payment.signature, 7) for payment, _ in made])


async def _settle(database, made):
    await claim_settled(database, [found for _, found in made])


@pytest.mark.parametrize(
    ("statement", "changes"),
    [
        (_finalize, {}),
        (_orphan, {}),
        (_settle, {}),
        (_witness, {"awaits_witness_since": AT}),
        (_contest, {"awaits_witness_since": AT}),
    ],
)
async def test_while_the_first_is_locked_elsewhere_none_of_the_others_is_held(pool, database_url, statement, changes):
    merchant = await add_merchant(pool, "merchant", 10)
    made = [await reserved(pool, merchant) for _ in range(40)]
    for payment, _ in made:
        await land(pool, payment, **changes)
    in_order = sorted((payment.signature for payment, _ in made), key=lambda one: one.encode())
    rival, looker = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        async with rival.transaction():
            await rival.execute("SELECT FROM transfers WHERE signature = $1 FOR UPDATE", in_order[0])
            task = asyncio.create_task(statement(pool, sorted(made, key=lambda one: one[0].signature, reverse=True)))
            await eventually(lambda: pool.fetchval(SOMEBODY_WAITS))
            free = await looker.fetch("SELECT signature FROM transfers FOR UPDATE SKIP LOCKED")
            assert sorted((row["signature"] for row in free), key=lambda one: one.encode()) == in_order[1:]
        await task
    finally:
        await rival.close()
        await looker.close()
