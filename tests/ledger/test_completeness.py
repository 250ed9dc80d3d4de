"""The proof of completeness, held against a brute force over every order that could link a slot's changes."""

import asyncio
import os
from itertools import permutations

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain.base58 import b58encode
from ledger.sql import load_queries
from runtime.database import prepare_connection

WALLET, ACCOUNT, MINT = (b58encode(bytes([n]) * 32) for n in (7, 8, 9))
QUERIES = load_queries("ledger", "completeness.sql")


def linked(slots, start):
    """Every balance with which the changes can end, given the balances with which they can start."""
    starts = {start}
    for changes in slots:
        if start is None and starts == {None}:
            starts = {pre for pre, _ in changes}
        ends = set()
        for order in permutations(changes):
            for first in starts:
                balance = first
                for pre, post in order:
                    if pre != balance:
                        break
                    balance = post
                else:
                    ends.add(balance)
        starts = ends
    return starts


@st.composite
def histories(draw):
    """Slots of changes that really happened one after the other, some of them then lost."""
    balance, slots = draw(st.integers(0, 3)), []
    opening = balance
    for _ in range(draw(st.integers(1, 4))):
        changes = []
        for _ in range(draw(st.integers(1, 4))):
            after = draw(st.integers(0, 3))
            changes.append((balance, after))
            balance = after
        slots.append(draw(st.permutations(changes)))
    lost = draw(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=2))
    kept = [[c for n, c in enumerate(changes) if (s, n) not in lost] for s, changes in enumerate(slots)]
    return opening, balance, [changes for changes in kept if changes]


@pytest.fixture
def connection(database_url):
    """A connection on a loop of its own: hypothesis runs many examples inside one test."""
    with asyncio.Runner() as runner:

        async def open_():
            opened = await asyncpg.connect(database_url)
            await prepare_connection(opened)
            await opened.execute(
                "INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ($1, 'x', 0)", WALLET
            )
            await opened.execute(
                "INSERT INTO token_accounts (address, recipient, mint, program) VALUES ($1, $2, $3, $3)",
                ACCOUNT, WALLET, MINT,
            )  # fmt: skip
            return opened

        opened = runner.run(open_())
        yield lambda work: runner.run(work(opened))
        runner.run(opened.close())


async def prove(connection, slots, anchor):
    await connection.execute("DELETE FROM balance_changes")
    await connection.execute(
        "UPDATE token_accounts SET audited_slot = $1, audited_balance = $2",
        None if anchor is None else 0,
        anchor,
    )
    for slot, changes in enumerate(slots, 1):
        for pre, post in changes:
            await connection.execute(
                "INSERT INTO balance_changes (signature, account, slot, mint, pre, post)"
                " VALUES ($1, $2, $3, $4, $5, $6)",
                b58encode(os.urandom(64)).rjust(87, "2"), ACCOUNT, slot, MINT, pre, post,
            )  # fmt: skip
    (row,) = [row async for row in QUERIES.completeness(connection, accounts=[ACCOUNT], slot=100, whole=anchor is None)]
    return row


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories(), anchored=st.booleans())
def test_the_proof_agrees_with_every_possible_order(connection, history, anchored):
    opening, _, slots = history
    anchor = opening if anchored else None
    possible = linked(slots, anchor) if slots else {anchor}

    async def check(opened):
        return await prove(opened, slots, anchor)

    row = connection(check)
    if not possible:
        assert row["gaps"] > 0, "no order links these changes"
    else:
        assert row["gaps"] == 0, f"{possible} can be reached"
        if len(possible) == 1:
            assert row["ends"] in possible | {None}
    if row["ends"] is not None and row["gaps"] == 0:
        assert row["ends"] in possible


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories())
def test_what_is_lost_shows_as_a_gap_or_as_drift_or_moved_nothing(connection, history):
    opening, closing, slots = history

    async def check(opened):
        return await prove(opened, slots, opening)

    row = connection(check)
    if row["gaps"] == 0 and row["ends"] == closing:
        # Then an order exists that leads from the opening balance to the closing one without anything lost.
        assert closing in (linked(slots, opening) if slots else {opening})


def work_of(plan):
    """Rows that the nodes of a plan took in, kept or thrown away, over all their loops."""
    dropped = sum(rows for name, rows in plan.items() if name.startswith("Rows Removed by"))
    own = (plan["Actual Rows"] + dropped) * plan["Actual Loops"]
    return own + sum(map(work_of, plan.get("Plans", ())))


@pytest.mark.parametrize("slots", ["paid twice", "paid and spent"])
def test_the_work_for_an_account_grows_no_faster_than_its_history(connection, slots):
    change = {"paid twice": ("g * 5", "g * 5 + 5"), "paid and spent": ("g % 2 * 9", "9 - g % 2 * 9")}[slots]

    async def prove_many(opened, slot_count):
        await opened.execute("DELETE FROM balance_changes")
        await opened.execute(
            f"""
            INSERT INTO balance_changes (signature, account, slot, mint, pre, post)
            SELECT translate(rpad(md5(g::text), 64, 'x'), '0', 'z'), $1, g / 2, $2, {change[0]}, {change[1]}
            FROM generate_series(2, $3::bigint) AS g
            """,
            ACCOUNT, MINT, 2 * slot_count + 1,
        )  # fmt: skip
        (row,) = [row async for row in QUERIES.completeness(opened, accounts=[ACCOUNT], slot=10**9, whole=True)]
        assert (row["gaps"], row["changes"]) == (0, 2 * slot_count)
        explained = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + QUERIES.completeness.sql
        ((answer,),) = await opened.fetch(explained, True, [ACCOUNT], 10**9)
        return work_of(answer[0]["Plan"])

    few, many = connection(lambda opened: prove_many(opened, 500)), connection(lambda opened: prove_many(opened, 2_000))
    assert many < 6 * few, "four times the history costs four times the work"


def test_more_of_a_slot_that_was_audited_already_is_no_drift(connection):
    """A node may call its newest slot final while transactions still come into it."""

    async def story(opened):
        await prove(opened, [], None)
        reported = []
        for pre, post in ((0, 5), (5, 7)):
            await opened.execute(
                "INSERT INTO balance_changes (signature, account, slot, mint, pre, post)"
                " VALUES ($1, $2, 7, $3, $4, $5)",
                b58encode(os.urandom(64)).rjust(87, "2"), ACCOUNT, MINT, pre, post,
            )  # fmt: skip
            (row,) = [row async for row in QUERIES.completeness(opened, accounts=[ACCOUNT], slot=7, whole=False)]
            reported.append((row["gaps"], row["ends"]))
            await QUERIES.agreed(opened, slot=7, accounts=[ACCOUNT], balances=[post], impossible_slot=None)
        await QUERIES.agreed(opened, slot=8, accounts=[ACCOUNT], balances=[7], impossible_slot=None)
        anchor = await opened.fetchrow("SELECT audited_slot, audited_balance FROM token_accounts")
        return reported, tuple(anchor)

    assert connection(story) == ([(0, 5), (0, 7)], (7, 7))
