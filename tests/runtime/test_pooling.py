"""Poolers between us and Postgres: sessions of our own work, shared ones are refused at the start."""

import pytest

from migrations.status import check_current
from runtime.connection_string import read_connection_string
from runtime.database import open_connection, open_pool
from runtime.database_errors import DatabaseTroubles
from runtime.errors import OperatorError
from runtime.listener import Listener
from runtime.metrics import new_registry
from runtime.pooling import Pooling, pooling_of
from runtime.process import working
from tests.support.command_line import pay402
from tests.support.ledger_checks import eventually
from tests.support.pgbouncer import needs_pgbouncer, pooled


async def test_without_a_pooler_there_is_none(database_url):
    async with open_connection(database_url) as connection:
        assert await pooling_of(read_connection_string(database_url), connection) is Pooling.NONE


@needs_pgbouncer
async def test_a_pooler_that_keeps_sessions_works_with_every_setting_of_ours(database_url, pool):
    heard = []
    async with pooled(database_url, "session") as address:
        async with open_connection(address) as connection:
            assert await pooling_of(read_connection_string(address), connection) is Pooling.SESSION
        await check_current(address)
        async with open_pool(address, application="test", max_size=3) as through:
            shown = "SELECT current_setting('statement_timeout'), current_setting('jit'), current_setting('timezone')"
            for _ in range(3):
                assert tuple(await through.fetchrow(shown)) == ("30s", "off", "UTC")
            listener = Listener(
                address,
                {"transfers": heard.append},
                after_gap=lambda: None,
                application="test",
                troubles=DatabaseTroubles(new_registry()),
            )
            async with working(listener.run()):
                await eventually(lambda: listener.is_listening)
                await pool.execute("SELECT pg_notify('transfers', 'one')")
                await eventually(lambda: heard == ["one"])


@needs_pgbouncer
@pytest.mark.parametrize("pool_size", ["1", "20"])
async def test_a_pooler_that_shares_sessions_is_refused(database_url, pool_size):
    async with pooled(database_url, "transaction", default_pool_size=pool_size) as address:
        place = address.partition("@")[2]
        sentence = rf"^The database at {place} is reached through a pooler that shares sessions .*; set its pool_mode"
        with pytest.raises(OperatorError, match=sentence):
            async with open_connection(address):
                pass
        with pytest.raises(OperatorError, match=sentence):
            async with open_pool(address, application="test"):
                pass


@needs_pgbouncer
@pytest.mark.parametrize("command", ["indexer", "worker", "api", "keys"])
async def test_every_process_says_which_pooling_works(command, home, database_url, redis_url, net):
    async with pooled(database_url, "transaction") as address:
        arguments = [command, "list"] if command == "keys" else [command]
        done = await pay402(
            *arguments, home=home, DATABASE_URL=address, REDIS_URL=redis_url, SOLANA_RPC_URL=net.rpc_url
        )
    assert done.code == 1, done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert "pool_mode to session" in line
