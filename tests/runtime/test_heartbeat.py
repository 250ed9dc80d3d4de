"""Signs of life on a real database, also one that is failed over under a running process."""

from runtime.database import open_pool
from runtime.database_errors import DatabaseTroubles
from runtime.heartbeat import SeenSlots, signs_of_life
from runtime.metrics import new_registry
from tests.support.ledger_checks import eventually

SHOWN = "SELECT seen_slot, recorded_slot FROM heartbeats WHERE role = 'indexer'"


async def test_signs_are_written_again_and_again_with_the_slots_of_the_moment(pool):
    seen = [1]
    troubles = DatabaseTroubles(new_registry())
    async with signs_of_life(pool, "indexer", 0.02, troubles, slots=lambda: SeenSlots(seen[0], seen[0] - 1)):
        await eventually(lambda: _shown(pool, (1, 0)))
        seen[0] = 7
        await eventually(lambda: _shown(pool, (7, 6)))
    assert await _shown(pool, (7, 6))


async def test_a_sign_is_taken_back_where_nobody_may_count_on_the_process_any_more(pool):
    async with signs_of_life(pool, "worker", 0.02, DatabaseTroubles(new_registry()), take_back=True):
        await eventually(lambda: pool.fetchval("SELECT count(*) = 1 FROM heartbeats"))
    assert await pool.fetchval("SELECT count(*) FROM heartbeats") == 0


async def test_a_database_that_was_failed_over_is_written_to_again(database_url, pool, monkeypatch):
    monkeypatch.setattr("runtime.database_errors._PAUSE_SECONDS", dict.fromkeys(["away", "refused", "defect"], 0.05))
    registry = new_registry()
    name = await pool.fetchval("SELECT current_database()")

    def refusals():
        return registry.get_sample_value("pay402_database_errors_total", {"kind": "refused"})

    async with open_pool(database_url, application="failed-over", min_size=1, max_size=1) as its_own:
        await pool.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await its_own.expire_connections()
        async with signs_of_life(its_own, "indexer", 0.02, DatabaseTroubles(registry)):
            await eventually(lambda: refusals() > 2)
            # Sessions that were opened meanwhile stay read-only: the process has to leave them by itself.
            async with pool.acquire() as connection:
                await connection.execute("BEGIN READ WRITE")
                await connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
                await connection.execute("COMMIT")
            await eventually(lambda: pool.fetchval("SELECT count(*) = 1 FROM heartbeats"))


async def _shown(pool, expected):
    row = await pool.fetchrow(SHOWN)
    return row is not None and tuple(row) == expected
