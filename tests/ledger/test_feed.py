"""The feed's cursor: whatever is committed is published, once, and nobody who goes on from the newest skips it."""

import asyncio
import random

import pytest

from ledger.feed import entry_id, entry_number, feed_ends, page_of_feed, prune_feed, publish_events
from tests.support.feed_publishing import publish

NEW_KEY = "INSERT INTO events (type, subject, user_id, data) VALUES ('key.created', $1, 'merchant', '{}')"


async def subjects(pool, after=0, limit=1_000):
    entries = await page_of_feed(pool, after=after, user_id="merchant", limit=limit)
    assert [entry.number for entry in entries] == sorted(entry.number for entry in entries)
    ids = [entry.number for entry in entries]
    rows = await pool.fetch(
        "SELECT f.id, e.subject FROM feed AS f JOIN events AS e ON e.id = f.event_id WHERE f.id = ANY($1)", ids
    )
    by_id = {row["id"]: row["subject"] for row in rows}
    return [by_id[one] for one in ids]


async def gaps(pool):
    return await pool.fetchval("SELECT count(*) FROM feed_gaps")


async def test_what_commits_late_with_a_lower_id_is_skipped_by_nobody(pool):
    async with pool.acquire() as late, pool.acquire() as quick:
        transaction = late.transaction()
        await transaction.start()
        await late.execute(NEW_KEY, "late")
        await quick.execute(NEW_KEY, "quick")
        await publish(pool)
        assert await subjects(pool) == ["quick"]
        newest = (await feed_ends(pool)).newest
        # While it is open, however often somebody looks, nothing stands still and nothing is published twice.
        await quick.execute(NEW_KEY, "next")
        await publish(pool)
        await publish(pool)
        assert await subjects(pool) == ["quick", "next"]
        await transaction.commit()
    await publish(pool)
    assert await subjects(pool, after=newest) == ["next", "late"]
    assert await gaps(pool) == 0


async def test_what_is_rolled_back_is_not_waited_for_for_ever(pool):
    async with pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.executemany(NEW_KEY, [(f"undone {n}",) for n in range(20)])
        await pool.execute(NEW_KEY, "kept")
        await publish(pool)
        assert await gaps(pool) == 20
        await transaction.rollback()
    await publish(pool)
    assert await subjects(pool) == ["kept"]
    assert await gaps(pool) == 0


async def test_a_gap_waits_for_its_own_writer_and_not_for_those_who_came_later(pool):
    async with pool.acquire() as first, pool.acquire() as second:
        early, later = first.transaction(), second.transaction()
        await early.start()
        await first.execute(NEW_KEY, "early")
        await pool.execute(NEW_KEY, "one")
        await publish(pool)
        await later.start()
        await second.execute(NEW_KEY, "later")
        await early.rollback()
        await publish(pool)
        assert await gaps(pool) == 0
        await later.commit()
    await publish(pool)
    assert await subjects(pool) == ["one", "later"]


async def test_two_who_publish_at_once_publish_everything_once(pool):
    await pool.executemany(NEW_KEY, [(str(n),) for n in range(300)])
    await asyncio.gather(*(publish(pool, events_max=50) for _ in range(4)))
    while (await publish(pool, events_max=50)).events:
        pass
    assert await subjects(pool) == [str(n) for n in range(300)]


@pytest.mark.parametrize("seed", range(3))
async def test_writers_that_commit_and_roll_back_in_any_order_lose_nothing(pool, seed):
    """A reader goes on from the newest it has seen, while writers hold their transactions open for a while."""
    rng = random.Random(seed)
    committed, seen, after = [], [], 0
    done = asyncio.Event()

    async def write(n):
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            names = [f"{n}-{k}" for k in range(rng.randint(1, 5))]
            for name in names:
                await connection.execute(NEW_KEY, name)
                await asyncio.sleep(rng.random() / 100)
            if rng.random() < 0.3:
                await transaction.rollback()
            else:
                await transaction.commit()
                committed.extend(names)

    async def read():
        nonlocal after
        while True:
            finished = done.is_set()
            await publish(pool, events_max=rng.randint(1, 7))
            entries = await page_of_feed(pool, after=after, user_id=None, limit=3)
            seen.extend(entries)
            after = entries[-1].number if entries else after
            if finished and not entries and (await publish(pool)).events == 0:
                return

    async def write_all():
        for start in range(0, 60, 2):
            await asyncio.gather(write(start), write(start + 1))
        done.set()

    await asyncio.gather(write_all(), read())
    rows = await pool.fetch("SELECT e.subject FROM feed AS f JOIN events AS e ON e.id = f.event_id ORDER BY f.id")
    assert sorted(row["subject"] for row in rows) == sorted(committed)
    assert len(seen) == len(committed)
    assert await gaps(pool) == 0


async def test_a_publisher_that_dies_in_between_has_published_nothing(pool):
    await pool.execute(NEW_KEY, "one")

    async def die(_):
        raise ConnectionError

    with pytest.raises(ConnectionError):
        async with pool.acquire() as connection:
            await publish_events(connection, events_max=10, then=die)
    assert await subjects(pool) == []
    await publish(pool)
    assert await subjects(pool) == ["one"]


async def test_the_oldest_entries_are_removed_in_time_and_it_is_known_how_far(pool):
    await pool.executemany(NEW_KEY, [(str(n),) for n in range(5)])
    await publish(pool)
    await pool.execute("UPDATE feed SET published_at = clock_timestamp() - interval '2 days' WHERE id <= 3")
    assert await prune_feed(pool, keep_seconds=86_400, limit=2) == 2
    assert await prune_feed(pool, keep_seconds=86_400, limit=2) == 1
    ends = await feed_ends(pool)
    assert (ends.pruned, ends.newest) == (3, 5)


@pytest.mark.parametrize("text", ["", "evt_", "1", "evt_-1", "evt_1.5", "evt_" + "9" * 19, "EVT_1"])
def test_a_cursor_that_is_none_of_ours_names_nothing(text):
    assert entry_number(text) is None


def test_a_cursor_names_its_entry():
    assert entry_number(entry_id(42)) == 42
