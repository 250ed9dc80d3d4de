"""Connections: exact amounts, bounded waits, and failures as sentences without passwords."""

import asyncio
import contextlib
import socket
import time
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from runtime import database
from runtime.connection_string import place
from runtime.database import open_connection, open_pool, reach
from runtime.errors import OperatorError
from tests.support.failed_over import read_only, reconnected
from tests.support.ledger_checks import eventually
from tests.support.sentences import assert_sentence

U64_MAX = 2**64 - 1


async def refusal(dsn, opener=open_connection, **options):
    with pytest.raises(OperatorError) as raised:
        async with opener(dsn, application="test", patience_seconds=0, **options):
            pass
    return str(raised.value)


@pytest.fixture
def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]  # bound but not listening: nobody else can take it, and it refuses


@pytest.mark.parametrize("opener", [open_connection, open_pool])
async def test_a_database_that_does_not_listen_is_one_sentence(closed_port, opener):
    dsn = f"postgresql://ledger:hunter2@127.0.0.1:{closed_port}/books"
    sentence = await refusal(dsn, opener)
    assert_sentence(
        sentence,
        naming=(f"127.0.0.1:{closed_port}/books", "DATABASE_URL", "connection refused"),
        hiding=("hunter2", "ledger"),
    )


async def test_a_socket_directory_without_a_server_is_one_sentence(tmp_path):
    dsn = f"postgresql://ledger:hunter2@/books?host={tmp_path}&port=5432"
    assert_sentence(await refusal(dsn), naming=(f"{tmp_path}/books", "DATABASE_URL"), hiding=("hunter2",))


async def test_a_database_that_does_not_exist_is_one_sentence(postgres):
    dsn = postgres.format("no_such_books").replace("postgres@", "postgres:hunter2@")
    assert_sentence(await refusal(dsn), naming=("no_such_books", "DATABASE_URL"), hiding=("hunter2",))


async def test_a_user_that_does_not_exist_is_one_sentence(postgres):
    dsn = postgres.format("postgres").replace("postgres@", "nobody_here:hunter2@")
    assert_sentence(await refusal(dsn), naming=("nobody_here", "DATABASE_URL"), hiding=("hunter2",))


@pytest.mark.parametrize("opener", [open_connection, open_pool])
async def test_a_wrong_password_is_one_sentence(empty_database, opener):
    name = empty_database.partition("?")[0].rpartition("/")[2]
    async with open_connection(empty_database) as connection:
        rules = Path(await connection.fetchval("SHOW hba_file"))
        before = replaced(rules, lambda text: f"local {name} all scram-sha-256\n{text}")
        await connection.execute("SELECT pg_reload_conf()")
    try:
        sentence = await _first_refusal(empty_database.replace("postgres@", "postgres:hunter2@"), opener)
    finally:
        replaced(rules, lambda _: before)
    assert_sentence(sentence, naming=("password authentication failed", "DATABASE_URL"), hiding=("hunter2",))


def replaced(file, change):
    """Change the text of a file; returns what it was."""
    before = file.read_text()
    file.write_text(change(before))
    return before


async def _first_refusal(dsn, opener):
    """The server takes a moment to read its rules anew; until then it lets everybody in."""
    async with asyncio.timeout(10):
        while True:
            try:
                async with opener(dsn, application="test", patience_seconds=0):
                    await asyncio.sleep(0.01)
            except OperatorError as error:
                return str(error)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:hunter2@db.example:port/x",
        "postgresql://u:hunter2@127.0.0.1:99999/x",
        "postgresql://u:hunter2@[::1/x",
        "postgresql://u:hunter2@127.0.0.1:1/x?sslmode=perhaps",
        "postgresql://u:hunter2@127.0.0.1:1/x?sslcert=/nowhere/hunter2",
        "postgresql://u@127.0.0.1:1/x?password=hunter2&target_session_attrs=mine",
        "postgresql://u@127.0.0.1:1,127.0.0.1:2,127.0.0.1/x?password=hunter2&port=1,2",
        # Unescaped signs in a password move the host: what is left must not be taken for one.
        "postgresql://u:hunter2/x@127.0.0.1:1/x",
        "postgresql://u:1/hunter2@127.0.0.1:1/x",
        "postgresql://u:hunter2#x@127.0.0.1:1/x",
        "postgresql://u:1#hunter2@127.0.0.1:1/x",
        "postgresql://u:hunter2?x@127.0.0.1:1/x",
        "postgresql://u:1?hunter2@127.0.0.1:1/x",
        "postgresql://u:@hunter2@127.0.0.1:1/x",
        "postgresql://u:hun ter2@127.0.0.1:port/x",
        "mysql://u:hunter2@127.0.0.1/x",
        "host=127.0.0.1 port=1 password=hunter2",
        "hunter2",
    ],
)
async def test_a_malformed_address_is_one_sentence_without_its_password(dsn):
    sentence = await refusal(dsn)
    assert_sentence(sentence, naming=("DATABASE_URL",), hiding=("hunter", "ter2"))


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://u:p@db.example:5432/books?sslmode=require", "db.example:5432/books"),
        ("postgresql://db.example/books", "db.example/books"),
        ("postgresql://u:p@ss@db.example/books", "db.example/books"),
        ("postgresql://u:p@one.example:1,two.example:2/books", "one.example:1,two.example:2/books"),
        ("postgresql://u@/books?host=/run/postgresql&password=secret", "/run/postgresql/books"),
        ("postgresql:///books", "localhost/books"),
        ("postgresql://u:1/secret@db.example/books", "the address that is set"),
        ("postgresql://u:1#secret@db.example/books", "the address that is set"),
        ("postgresql://u:1?secret@db.example/books", "the address that is set"),
        ("postgresql://[::1/books", "the address that is set"),
        ("password=secret", "the address that is set"),
    ],
)
def test_a_place_is_host_port_and_database_or_nothing(dsn, expected):
    assert place(dsn) == expected


async def test_amounts_are_exact_integers_up_to_the_largest_u64(pool):
    for amount in (0, 1, 2**53 + 1, 2**63 - 1, 2**63, U64_MAX):
        for kind in ("numeric", "numeric(20, 0)", "base_units"):
            back = await pool.fetchval(f"SELECT $1::{kind}", amount)
            assert (type(back), back) == (int, amount)


async def test_arrays_of_amounts_are_exact_integers(pool):
    amounts = [U64_MAX, 0, None, 2**63 + 1]
    for kind in ("numeric[]", "numeric(20, 0)[]", "base_units[]"):
        back = await pool.fetchval(f"SELECT $1::{kind}", amounts)
        assert back == amounts
        assert {type(one) for one in back} == {int, type(None)}
    rows = await pool.fetch("SELECT unnest($1::numeric[])::base_units AS amount", amounts)
    assert [row["amount"] for row in rows] == amounts


async def test_negative_differences_are_integers_and_averages_are_decimals(pool):
    assert await pool.fetchval("SELECT $1::numeric", -U64_MAX) == -U64_MAX
    assert type(await pool.fetchval("SELECT sum(x) FROM unnest($1::numeric[]) AS x", [U64_MAX] * 3)) is int
    average = await pool.fetchval("SELECT avg(x) FROM unnest($1::numeric[]) AS x", [1, 2])
    assert (type(average), average) == (Decimal, Decimal("1.5"))


@pytest.mark.parametrize("amount", [1.0, 0.1, Decimal(1), True, "1", float("nan"), b"1"])
async def test_an_amount_that_is_not_an_integer_is_refused(pool, amount):
    with pytest.raises(asyncpg.DataError):
        await pool.fetchval("SELECT $1::numeric", amount)
    with pytest.raises(asyncpg.DataError):
        await pool.fetchval("SELECT $1::base_units[]", [1, amount])


@pytest.mark.parametrize("amount", [-1, U64_MAX + 1])
async def test_the_database_refuses_what_no_u64_holds(pool, amount):
    with pytest.raises((asyncpg.CheckViolationError, asyncpg.NumericValueOutOfRangeError)):
        await pool.fetchval("SELECT $1::base_units", amount)


@pytest.mark.parametrize("kind", ["json", "jsonb"])
async def test_json_is_python_values_there_and_back(pool, kind):
    value = {"amount": U64_MAX, "memo": 'ö "quoted" \\ \n', "list": [None, True, -1, 0.5, {}], "": []}
    back = await pool.fetchval(f"SELECT $1::{kind}", value)
    assert back == value
    assert type(back["amount"]) is int
    assert await pool.fetchval(f"SELECT $1::{kind}", None) is None
    assert await pool.fetchval(f"SELECT $1::{kind}[]", [value, None, {}]) == [value, None, {}]


async def test_sessions_carry_their_name_and_bounds(database_url):
    async with open_pool(database_url, application="indexer", statement_timeout_seconds=7.5) as pool:
        settings = {
            name: await pool.fetchval(f"SHOW {name}")
            for name in (
                "application_name",
                "statement_timeout",
                "idle_in_transaction_session_timeout",
                "TimeZone",
            )
        }
    assert settings == {
        "application_name": "pay402-indexer",
        "statement_timeout": "7500ms",
        "idle_in_transaction_session_timeout": "7500ms",
        "TimeZone": "UTC",
    }


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(database_url):
    async with open_connection(database_url, statement_timeout_seconds=0.05) as connection:
        with pytest.raises(asyncpg.QueryCanceledError):
            await connection.execute("SELECT pg_sleep(30)")
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_pool_closes_in_bounded_time_though_a_statement_runs_and_a_connection_is_kept(
    database_url, monkeypatch
):
    monkeypatch.setattr(database, "_CLOSE_SECONDS", 0.2)
    async with open_pool(database_url, application="test") as pool:
        await pool.acquire()  # and never given back
        busy = asyncio.create_task(pool.fetchval("SELECT pg_sleep(60)"))
        async with open_connection(database_url) as observer:
            sleeping = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND state = 'active'"
            async with asyncio.timeout(5):
                while not await observer.fetchval(sleeping):  # noqa: ASYNC110 - the server tells
                    await asyncio.sleep(0.01)
        begun = time.monotonic()
    assert time.monotonic() - begun < 20
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncio.CancelledError)):
        await busy


async def test_a_connection_closes_in_bounded_time_though_the_server_is_silent(monkeypatch, database_url):
    """Between us and the server everything is swallowed from now on."""
    monkeypatch.setattr(database, "_CLOSE_SECONDS", 0.2)
    host, port = _socket_of(database_url)
    silent = asyncio.Event()

    async def relay(reader, writer):
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        streams = [(reader, upstream_writer), (upstream_reader, writer)]
        with contextlib.closing(writer), contextlib.closing(upstream_writer):
            await asyncio.gather(*(_copy(*one, silent) for one in streams), return_exceptions=True)

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    relayed = database_url.partition("?")[0].replace("@/", f"@127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    async with server:
        async with open_connection(relayed + "?sslmode=disable") as connection:
            assert await connection.fetchval("SELECT 1") == 1
            silent.set()
            begun = time.monotonic()
        assert time.monotonic() - begun < 20
        assert connection.is_closed()


def _socket_of(dsn):
    host, port = dsn.partition("?host=")[2].split("&port=")
    return host, port


async def _copy(reader, writer, silent):
    while data := await reader.read(65536):
        if not silent.is_set():
            writer.write(data)
            await writer.drain()


async def test_a_database_that_is_starting_is_waited_for():
    attempts = []

    async def connect():
        attempts.append(time.monotonic())
        if len(attempts) < 4:
            raise asyncpg.CannotConnectNowError("the database system is starting up")
        return "connected"

    assert await reach("postgresql://db.example/x", connect, patience_seconds=10) == "connected"
    assert len(attempts) == 4
    assert attempts[-1] - attempts[0] >= 0.1  # it is not hammered


async def test_patience_ends_and_wrong_credentials_are_not_tried_twice():
    attempts = []

    def failing(error):
        async def connect():
            attempts.append(error)
            raise error

        return connect

    begun = time.monotonic()
    with pytest.raises(OperatorError) as raised:
        await reach(
            "postgresql://u:hunter2@db.example/x", failing(ConnectionRefusedError(111, "no")), patience_seconds=0.3
        )
    assert 1 < len(attempts) < 20
    assert time.monotonic() - begun < 20
    assert_sentence(str(raised.value), naming=("db.example/x",), hiding=("hunter2",))

    attempts.clear()
    with pytest.raises(OperatorError):
        await reach("postgresql://db.example/x", failing(asyncpg.InvalidPasswordError("no")), patience_seconds=5)
    assert len(attempts) == 1


async def test_a_defect_of_ours_is_not_taken_for_an_unreachable_database():
    async def connect():
        raise KeyError("ours")

    with pytest.raises(KeyError):
        await reach("postgresql://db.example/x", connect)


@pytest.mark.parametrize("by_keys_alone", [False, True])
async def test_a_pool_leaves_a_server_that_has_become_read_only(database_url, pool, monkeypatch, by_keys_alone):
    """Nobody restarts the process, and no statement of it has to fail for it."""
    monkeypatch.setattr(database, "_READ_ONLY_SECONDS", 0.05)
    options = {"application": "failed-over", "max_size": 3, "by_keys_alone": by_keys_alone}
    async with open_pool(database_url, **options) as its_own:
        async with read_only(pool):
            await reconnected(its_own, 3)
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await its_own.execute("CREATE TABLE written ()")

        async def all_can_write():
            held = [await its_own.acquire() for _ in range(3)]
            modes = [await connection.fetchval("SHOW transaction_read_only") for connection in held]
            for connection in held:
                await its_own.release(connection)
            return modes == ["off"] * 3

        await eventually(all_can_write)


async def test_a_server_that_stays_read_only_is_not_connected_to_again_and_again(database_url, pool):
    async with open_pool(database_url, application="reading", max_size=1) as its_own, read_only(pool):
        await reconnected(its_own, 1)
        seen = {await its_own.fetchval("SELECT pg_backend_pid()") for _ in range(50)}
    assert len(seen) <= 2
