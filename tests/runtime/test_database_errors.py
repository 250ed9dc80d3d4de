"""What each failure of a real Postgres means, and that each is counted as what it is."""

import asyncio
from contextlib import suppress

import asyncpg
import pytest
from structlog.testing import capture_logs

import cli.errors
from runtime.database import open_connection, open_pool
from runtime.database_errors import DATABASE_ERRORS, DatabaseAwayError, DatabaseTrouble, DatabaseTroubles, trouble_of
from runtime.errors import OperatorError
from runtime.metrics import new_registry
from tests.support.crashing_postgres import Postgres

AWAY, REFUSED, DEFECT = DatabaseTrouble.AWAY, DatabaseTrouble.REFUSED, DatabaseTrouble.DEFECT


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 1 / 0", DEFECT),
        ("SELECT '2020-13-01'::date", DEFECT),
        ("SELECT 'x'::int", DEFECT),
        ("SELEKT", DEFECT),
        ("DO $$ BEGIN RAISE EXCEPTION 'no such step'; END $$", DEFECT),
        ("INSERT INTO heartbeats (role, instance) VALUES (NULL, 'one')", DEFECT),
        ("SELECT * FROM table_of_a_newer_schema", REFUSED),
        ("SELECT column_of_a_newer_schema FROM heartbeats", REFUSED),
        ("SELECT function_of_a_newer_schema()", REFUSED),
        ("SELECT * FROM other_schema.heartbeats", REFUSED),
        ("EXECUTE another_session_prepared_it", REFUSED),
        ("SET statement_timeout = 1; SELECT pg_sleep(1)", AWAY),
        ("SELECT pg_terminate_backend(pg_backend_pid())", AWAY),
    ],
)
async def test_a_statement_that_fails_says_what_it_means(statement, expected, database_url):
    async with open_connection(database_url) as connection:
        with pytest.raises(DATABASE_ERRORS) as failed:
            await connection.execute(statement)
    assert trouble_of(failed.value) is expected


async def test_a_step_that_no_claim_may_take_is_a_defect(database_url):
    async with open_connection(database_url) as connection:
        await connection.execute("CREATE TEMP TABLE claims_like (status text)")
        await connection.execute(
            "CREATE TRIGGER transition BEFORE INSERT OR UPDATE ON claims_like "
            "FOR EACH ROW EXECUTE FUNCTION check_transition('claim', 'status')"
        )
        with pytest.raises(asyncpg.CheckViolationError) as failed:
            await connection.execute("INSERT INTO claims_like VALUES ('reversed')")
    assert trouble_of(failed.value) is DEFECT


async def test_a_read_only_server_and_a_missing_right_are_refusals(database_url):
    async with open_connection(database_url) as connection:
        await connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(DATABASE_ERRORS) as read_only:
            await connection.execute("INSERT INTO heartbeats (role, instance) VALUES ('indexer', 'one')")
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute("SET ROLE pay402_worker")
        with pytest.raises(DATABASE_ERRORS) as no_right:
            await connection.execute("DROP TABLE heartbeats")
    assert trouble_of(read_only.value) is REFUSED
    assert trouble_of(no_right.value) is REFUSED


async def test_two_that_lock_each_other_out_may_try_again(database_url):
    async with open_connection(database_url) as one, open_connection(database_url) as two:
        await one.execute("INSERT INTO heartbeats (role, instance) VALUES ('a', 'a'), ('b', 'b')")
        update = "UPDATE heartbeats SET at = now() WHERE role = $1"
        first, second = one.transaction(), two.transaction()
        await first.start()
        await second.start()
        await one.execute(update, "a")
        await two.execute(update, "b")
        outcomes = await asyncio.gather(one.execute(update, "b"), two.execute(update, "a"), return_exceptions=True)
        [lost] = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert trouble_of(lost) is AWAY
        for transaction in (first, second):
            with suppress(*DATABASE_ERRORS):
                await transaction.rollback()


async def test_what_goes_wrong_on_our_side_of_the_connection(database_url, capsys):
    async with open_connection(database_url) as connection:
        with pytest.raises(asyncpg.DataError) as wrong_value:
            await connection.fetchval("SELECT $1::int", "one")
        sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(0.2)"))
        await asyncio.sleep(0.05)
        with pytest.raises(asyncpg.InterfaceError) as shared:
            await connection.execute("SELECT 1")
        await sleeping
        with pytest.raises(asyncpg.InterfaceError) as too_few:
            await connection.fetchval("SELECT $1::int + $2::int", 1)
        transaction = connection.transaction()
        await transaction.start()
        with pytest.raises(asyncpg.InterfaceError) as started_twice:
            await transaction.start()
        await transaction.rollback()
    with pytest.raises(asyncpg.InterfaceError) as closed:
        await connection.execute("SELECT 1")
    async with open_pool(database_url, application="test") as pool:
        pass
    with pytest.raises(asyncpg.InterfaceError) as closed_pool:
        await pool.fetchval("SELECT 1")
    assert trouble_of(wrong_value.value) is DEFECT
    assert trouble_of(shared.value) is DEFECT
    assert trouble_of(too_few.value) is DEFECT
    assert trouble_of(started_twice.value) is DEFECT
    assert trouble_of(closed.value) is AWAY
    for away in (closed.value, DatabaseAwayError("no answer")):
        assert cli.errors.report(away) == 1
        assert capsys.readouterr().err.startswith("error: The database went away (")
    assert cli.errors.report(shared.value) == cli.errors.DEFECT
    assert trouble_of(closed_pool.value) is AWAY
    assert trouble_of(DatabaseAwayError()) is AWAY
    assert trouble_of(RuntimeError("ours")) is DEFECT


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(), TimeoutError(), FileNotFoundError(), PermissionError(), OSError()], ids=repr
)
def test_what_did_not_happen_at_the_database_is_no_trouble_of_the_database(error):
    assert not isinstance(error, DATABASE_ERRORS)
    assert trouble_of(error) is DEFECT


async def test_a_server_out_of_reach_is_away_by_every_way(home, unused_tcp_port):
    for address in (f"postgresql://127.0.0.1:{unused_tcp_port}/none", f"postgresql:///none?host={home}"):
        with pytest.raises(OperatorError, match="cannot be reached") as refused:
            async with open_connection(address):
                pass
        assert trouble_of(refused.value) is AWAY


async def test_a_pool_whose_server_goes_says_that_it_is_away(home):
    server = Postgres(home)
    dsn = await server.start()
    try:
        async with open_pool(dsn, application="test") as pool:
            await server.stop()
            for _ in range(3):
                with pytest.raises(DATABASE_ERRORS) as gone:
                    await pool.fetchval("SELECT 1")
                assert trouble_of(gone.value) is AWAY
    finally:
        await server.stop()


@pytest.mark.parametrize("asking", ["execute", "fetch", "fetchrow", "fetchval"])
async def test_an_answer_that_does_not_come_in_time_is_an_outage(database_url, asking):
    """Each on a connection of its own: one whose cancellation takes too long is closed."""
    async with open_connection(database_url) as connection:
        with pytest.raises(DatabaseAwayError, match="it did not answer in time"):
            await getattr(connection, asking)("SELECT pg_sleep(5)", timeout=0.05)


def test_a_sentence_for_operators_means_what_its_cause_does():
    assert trouble_of(OperatorError("The database is Postgres 9.")) is REFUSED
    for cause, expected in ((DatabaseAwayError(), AWAY), (asyncpg.InvalidPasswordError("no"), REFUSED)):
        sentence = OperatorError("The database cannot be reached.")
        sentence.__cause__ = cause
        assert trouble_of(sentence) is expected


async def test_each_failure_is_counted_logged_and_paused_after_by_its_kind():
    registry = new_registry()
    troubles = DatabaseTroubles(registry)
    with capture_logs() as lines:
        pauses = [
            troubles.note("recording", error, rows_waiting=3)
            for error in (
                asyncpg.CannotConnectNowError("starting"),
                asyncpg.ReadOnlySQLTransactionError("read-only"),
                asyncpg.CheckViolationError("no such step\nDETAIL: a row"),
            )
        ]
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("database_away", "warning"),
        ("database_refused", "error"),
        ("database_defect", "error"),
    ]
    assert all(line["during"] == "recording" and line["rows_waiting"] == 3 for line in lines)
    assert lines[2]["error"] == "no such step"
    assert pauses == sorted(pauses)
    assert pauses[2] >= 30
    for kind in DatabaseTrouble:
        assert registry.get_sample_value("pay402_database_errors_total", {"kind": kind.value}) == 1


def test_a_defect_of_any_kind_is_counted_and_paused_after_for_a_minute():
    registry = new_registry()
    troubles = DatabaseTroubles(registry)
    with capture_logs() as lines:
        assert troubles.note_defect("publishing", KeyError("none"), job="one") == 60
    [line] = lines
    assert (line["event"], line["log_level"], line["during"], line["job"]) == ("defect", "error", "publishing", "one")
    assert registry.get_sample_value("pay402_database_errors_total", {"kind": "defect"}) == 1


def test_a_process_that_met_no_failure_shows_a_count_of_none():
    registry = new_registry()
    DatabaseTroubles(registry)
    assert registry.get_sample_value("pay402_database_errors_total", {"kind": "defect"}) == 0
