"""Payments on their way into the ledger: what they cost, which share a commit, and that each is written or refused."""

import asyncio
import contextlib
import secrets

import msgspec
import pytest

from chain.base58 import b58encode
from chain.programs import TOKEN_PROGRAM
from indexer.metrics import IndexerMetrics
from indexer.record import Recorder, UnrecordableError
from indexer.watchlist import Entry, FollowedAccount
from ledger.observation import BalanceChange, Kind, Movement, Observation, Unexplained
from runtime.metrics import new_registry
from tests.support.ledger_checks import follow

MINT, WALLET, ACCOUNT, PAYER, FROM = (b58encode(secrets.token_bytes(32)) for _ in range(5))


def payment(slot, pre, amount, *, signature=None, memos=(), mint=MINT, unexplained=0):
    """A transaction that pays `amount` to ACCOUNT; the first one opens it."""
    opens = pre == 0
    movement = Movement("0", Kind.TRANSFER, TOKEN_PROGRAM, mint, FROM, ACCOUNT, PAYER, WALLET, PAYER, amount)
    change = BalanceChange(ACCOUNT, WALLET, mint, TOKEN_PROGRAM, 6, pre, pre + amount, existed=not opens)
    observation = Observation(
        signature or b58encode(secrets.token_bytes(64)), slot, None, None, (movement,), (change,), {}, memos,
        (Unexplained(ACCOUNT, mint, unexplained, "for the test"),) if unexplained else (),
    )  # fmt: skip
    opened = (FollowedAccount(ACCOUNT, WALLET, mint, TOKEN_PROGRAM),) if opens else ()
    return Entry(observation, (movement,), ((change, unexplained),), opened)


def closing(slot):
    """A transaction that ends ACCOUNT, empty."""
    change = BalanceChange(ACCOUNT, WALLET, MINT, TOKEN_PROGRAM, 6, 0, 0, exists=False)
    observation = Observation(b58encode(secrets.token_bytes(64)), slot, None, None, (), (change,), {})
    return Entry(observation, (), ((change, 0),), ())


def recorder_of(pool, batch_size=500):
    return Recorder(pool, IndexerMetrics(new_registry()), batch_size)


@contextlib.asynccontextmanager
async def writing(recorder):
    """Batches are written while this is open."""
    task = asyncio.create_task(recorder.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def record(recorder, entry):
    await (await recorder.hand_over(entry))


async def test_a_payment_costs_the_same_however_many_stand_in_the_ledger(pool):
    await follow(pool, WALLET)
    recorder = recorder_of(pool)
    await recorder.warm_up()  # planned here, on empty tables that nothing has analyzed
    async with writing(recorder):
        for n in range(200):
            await record(recorder, payment(n, n, 1))

    assert await pool.fetchval("SELECT count(*) FROM transfers") == 200
    async with pool.acquire() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
    read = await pool.fetch(
        """
        SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) AS rows FROM pg_stat_user_tables
        UNION ALL
        SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes
        """
    )
    costly = {row["relname"]: row["rows"] for row in read if row["rows"] > 1_000}
    assert costly == {}, "something reads the whole of a table or an index for each payment"


async def test_payments_of_a_burst_share_a_commit(pool):
    await follow(pool, WALLET)
    recorder = recorder_of(pool)
    await recorder.warm_up()
    recorder._write_seconds = 1.0  # as on a slow disk
    second_is_here = asyncio.Event()

    async def second():
        with recorder.coming:
            await second_is_here.wait()
        await record(recorder, payment(2, 1, 1))

    async with writing(recorder):
        later = asyncio.create_task(second())
        await asyncio.sleep(0)
        first = asyncio.create_task(record(recorder, payment(1, 0, 1)))
        await asyncio.sleep(0)
        second_is_here.set()
        await asyncio.gather(first, later)
        assert await pool.fetchval("SELECT count(DISTINCT xmin::text) FROM transfers") == 1
        # One that never comes holds up nobody for long.
        with recorder.coming:
            await asyncio.wait_for(record(recorder, payment(3, 2, 1)), 5)


async def test_fetching_goes_on_while_a_commit_is_waited_for(pool):
    count = 50
    await follow(pool, WALLET)
    recorder = recorder_of(pool)
    for n in range(count):
        await recorder.hand_over(payment(n, n, 1))
    assert recorder._queue.qsize() == count
    await recorder.warm_up()
    async with writing(recorder):
        await record(recorder, payment(count, count, 1))
        # All of them in one commit.
        assert await pool.fetchval("SELECT count(DISTINCT xmin::text) FROM transfers") == 1
        assert await pool.fetchval("SELECT count(*) FROM transfers") == count + 1


async def test_a_few_wait_for_the_writer_and_many_get_a_second_one(pool):
    await follow(pool, WALLET)
    await pool.execute("INSERT INTO tokens (mint, program, decimals) VALUES ($1, $2, 6)", MINT, TOKEN_PROGRAM)
    recorder = recorder_of(pool, batch_size=40)
    await recorder.warm_up()
    async with writing(recorder), pool.acquire() as other:
        await record(recorder, payment(1, 0, 1))
        stuck = payment(2, 1, 1)
        held = other.transaction()
        await held.start()
        # Whoever writes this payment waits until the row of another transaction is decided.
        await other.execute(
            "INSERT INTO transfers (signature, path, slot, kind, program, mint, source, destination, amount)"
            " VALUES ($1, '0', 2, 'transfer', $2, $3, $4, $5, 1)",
            stuck.observation.signature, TOKEN_PROGRAM, MINT, FROM, ACCOUNT,
        )  # fmt: skip
        first = asyncio.create_task(record(recorder, stuck))
        await asyncio.sleep(0.1)
        with recorder.coming:
            few = [await recorder.hand_over(payment(3 + n, 2 + n, 1)) for n in range(5)]
            await asyncio.wait(few, timeout=0.3)
            assert not any(one.done() for one in few)
            many = [await recorder.hand_over(payment(8 + n, 7 + n, 1)) for n in range(9)]
            await asyncio.wait_for(asyncio.gather(*few, *many), 10)
        # The last one that was coming does not wait for others.
        await asyncio.wait_for(record(recorder, payment(17, 16, 1)), 10)
        assert not first.done()
        # What is being written is written by one: of the same transaction the last word counts.
        again = await recorder.hand_over(payment(30, 1, 1, signature=stuck.observation.signature))
        others = [await recorder.hand_over(payment(31 + n, 18 + n, 1)) for n in range(20)]
        await asyncio.wait([again, *others], timeout=0.3)
        assert not again.done()
        await held.rollback()
        await asyncio.wait_for(asyncio.gather(first, again, *others), 10)
    slots = await pool.fetch("SELECT slot FROM transfers WHERE signature = $1", stuck.observation.signature)
    assert [row["slot"] for row in slots] == [30]
    assert await pool.fetchval("SELECT count(*) FROM transfers") == 37


async def test_one_that_the_database_refuses_takes_no_other_with_it(pool):
    await follow(pool, WALLET)
    recorder = recorder_of(pool)
    good = [payment(n, n, 1) for n in range(3)]
    bad = [
        payment(10, 3, 1, mint="not an address"),
        payment(11, 3, 1, mint="\0" * 40),
        payment(12, 3, 2**64),
    ]
    handed = [await recorder.hand_over(entry) for entry in (good[0], bad[0], good[1], bad[1], bad[2], good[2])]
    async with writing(recorder):
        results = await asyncio.wait_for(asyncio.gather(*handed, return_exceptions=True), 30)
    assert [isinstance(result, UnrecordableError) for result in results] == [False, True, False, True, True, False]
    written = await pool.fetch("SELECT signature FROM transfers ORDER BY slot")
    assert [row["signature"] for row in written] == [entry.observation.signature for entry in good]


@pytest.mark.parametrize(
    ("pre", "amount", "unexplained"),
    [
        (0, 2**64 - 1, 0),
        (2**64 - 2, 1, -(2**64) + 1),
        (1, 1, 2**64 - 1),
        (2**53, 1, 0),  # where doubles begin to leave numbers out
    ],
)
async def test_amounts_of_any_size_arrive_to_the_base_unit(pool, pre, amount, unexplained):
    await follow(pool, WALLET)
    recorder = recorder_of(pool)
    async with writing(recorder):
        await record(recorder, payment(1, pre, amount, unexplained=unexplained))
    assert await pool.fetchval("SELECT amount FROM transfers") == amount
    assert tuple(await pool.fetchrow("SELECT pre, post, unexplained FROM balance_changes")) == (
        pre, pre + amount, unexplained,
    )  # fmt: skip


async def test_memos_arrive_with_every_character_that_postgres_has(pool):
    await follow(pool, WALLET)
    recorder = recorder_of(pool)
    memos = ('"quoted" \\ {braces}, NULL', "\u00e9\U0001f600\u2028\x01", "a\0b", "")
    async with writing(recorder):
        await record(recorder, payment(1, 0, 1, memos=memos))
    assert await pool.fetchval("SELECT memos FROM transfers") == [memos[0], memos[1], "a\ufffdb", ""]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_when_an_account_was_opened_and_closed_last_does_not_depend_on_the_order_of_writing(pool, order):
    await follow(pool, WALLET)
    recorder = recorder_of(pool)
    heard = (payment(10, 0, 1), closing(20), payment(30, 0, 1))
    async with writing(recorder):
        await record(recorder, payment(5, 0, 1))
        for n in order:
            await record(recorder, heard[n])
    assert tuple(await pool.fetchrow("SELECT opened_slot, closed_slot FROM token_accounts")) == (30, 20)


def moved(entry, **changes):
    """The same transaction with its one movement reported otherwise."""
    (movement,) = entry.movements
    movement = msgspec.structs.replace(movement, **changes)
    observation = msgspec.structs.replace(entry.observation, movements=(movement,))
    return msgspec.structs.replace(entry, observation=observation, movements=(movement,))


OTHER = b58encode(bytes([9]) * 32)


@pytest.mark.parametrize(
    ("column", "change", "value"),
    [
        ("mint", {"mint": OTHER}, OTHER),
        ("source_owner", {"source_owner": OTHER}, OTHER),
        ("destination_owner", {"destination_owner": OTHER}, OTHER),
        ("destination", {"destination": OTHER}, OTHER),
        ("authority", {"authority": OTHER}, OTHER),
        ("kind", {"kind": Kind.TRANSFER_CHECKED}, "transferChecked"),
        ("reference_keys", {"references": (OTHER,)}, [OTHER]),
        ("amount", {"amount": 9}, 9),
    ],
)
async def test_content_that_is_reported_otherwise_is_recorded_until_it_is_final(pool, column, change, value):
    await follow(pool, WALLET)
    recorder = recorder_of(pool)
    entry = payment(5, 0, 7)
    async with writing(recorder):
        await record(recorder, entry)
        await record(recorder, moved(entry, **change))
        assert await pool.fetchval(f"SELECT {column} FROM transfers") == value
        assert await pool.fetchval("SELECT count(*) FROM events WHERE type = 'transfer.landed_again'") == 1
        await pool.execute("UPDATE transfers SET finality = 'finalized'")
        await record(recorder, entry)
        assert await pool.fetchval(f"SELECT {column} FROM transfers") == value


async def test_what_a_transaction_no_longer_moves_is_undone(pool):
    """In the slot it was in, or in another one, where it failed: nothing of it is left to honour anybody by."""
    await follow(pool, WALLET)
    recorder = recorder_of(pool)
    entry = payment(5, 0, 7)
    failed = msgspec.structs.replace(entry.observation, error={"Custom": 1}, movements=(), balances=(), slot=6)
    async with writing(recorder):
        await record(recorder, entry)
        await record(recorder, msgspec.structs.replace(entry, movements=()))
        assert await pool.fetchval("SELECT finality FROM transfers") == "orphaned"
        await record(recorder, entry)
        assert await pool.fetchval("SELECT finality FROM transfers") == "confirmed"
        await record(recorder, Entry(failed, (), (), ()))
        assert await pool.fetchval("SELECT finality FROM transfers") == "orphaned"
        assert await pool.fetchval("SELECT finality FROM balance_changes") == "orphaned"
        await record(recorder, Entry(failed, (), (), ()))
    # Whoever heard of the payment hears of each turn it took, and once.
    events = await pool.fetch("SELECT type, subject, data FROM events WHERE type LIKE 'transfer.%' ORDER BY id")
    assert [event["type"] for event in events] == [
        "transfer.confirmed", "transfer.orphaned", "transfer.landed_again", "transfer.orphaned",
    ]  # fmt: skip
    assert {event["subject"] for event in events} == {entry.observation.signature}
    assert events[-1]["data"] == {"path": "0", "slot": 5, "mint": MINT, "destinationOwner": WALLET, "amount": "7"}
