"""The loop that listens, against a real Postgres that ends its connections."""

import asyncio

from runtime import database
from runtime.database import open_connection
from runtime.database_errors import DatabaseTroubles
from runtime.listener import Listener
from runtime.liveness import Liveness
from runtime.metrics import new_registry
from runtime.process import working
from tests.support.ledger_checks import eventually


class Heard:
    def __init__(self):
        self.payloads = []
        self.gaps = 0

    def gap(self):
        self.gaps += 1


def listener(dsn, heard):
    channels = {"first": heard.payloads.append, "second": lambda text: heard.payloads.append(f"second {text}")}
    return Listener(dsn, channels, after_gap=heard.gap, application="test", troubles=DatabaseTroubles(new_registry()))


async def test_notifications_of_every_channel_arrive_and_a_gap_is_reported(database_url, pool):
    heard = Heard()
    one = listener(database_url, heard)
    assert not one.is_listening
    async with working(one.run()):
        await eventually(lambda: one.is_listening)
        assert heard.gaps == 1
        await pool.execute("SELECT pg_notify('first', 'a'), pg_notify('second', 'b'), pg_notify('third', 'c')")
        await eventually(lambda: len(heard.payloads) == 2)
        assert heard.payloads == ["a", "second b"]
        # An administrator, or a failover, ends the connection; what is notified meanwhile tells nobody.
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pay402-test-listener'"
        )
        await pool.execute("SELECT pg_notify('first', 'missed')")
        await eventually(lambda: heard.gaps == 2)
        await pool.execute("SELECT pg_notify('first', 'd')")
        await eventually(lambda: "d" in heard.payloads)
    assert not one.is_listening


async def test_a_server_that_is_too_old_is_a_refusal_and_no_outage(database_url, monkeypatch):
    monkeypatch.setattr(database, "OLDEST_POSTGRES", 1_000)
    registry = new_registry()
    one = Listener(database_url, {}, after_gap=lambda: None, application="test", troubles=DatabaseTroubles(registry))
    async with working(one.run()):
        await eventually(lambda: registry.get_sample_value("pay402_database_errors_total", {"kind": "refused"}))
    assert registry.get_sample_value("pay402_database_errors_total", {"kind": "away"}) == 0


async def test_a_listener_that_cannot_listen_is_shown_and_one_that_hears_nothing_is_well(
    database_url, pool, monkeypatch
):
    monkeypatch.setattr("runtime.listener._PROBE_SECONDS", 0.05)
    now = [0.0]
    liveness = Liveness(new_registry(), clock=lambda: now[0])
    troubles = DatabaseTroubles(new_registry())
    name = await pool.fetchval("SELECT current_database()")
    later = f"{name}_listened"
    address = database_url.replace(name, later)
    one = Listener(address, {}, after_gap=lambda: None, application="test", troubles=troubles, liveness=liveness)
    async with working(one.run()):
        await asyncio.sleep(0.2)
        now[0] = 100.0
        assert [reason.split()[0] for reason in liveness.reasons()] == ["listener"]
        await pool.execute(f'CREATE DATABASE "{later}"')
        try:
            await eventually(lambda: one.is_listening and not liveness.reasons())
            now[0] = 200.0
            await eventually(lambda: not liveness.reasons())
        finally:
            await pool.execute(f'DROP DATABASE "{later}" WITH (FORCE)')


async def test_a_database_that_comes_late_is_listened_to_in_the_end(database_url, pool):
    name = await pool.fetchval("SELECT current_database()")
    later = f"{name}_later"
    heard = Heard()
    one = listener(database_url.replace(name, later), heard)
    async with working(one.run()):
        await asyncio.sleep(0.2)
        assert not one.is_listening
        await pool.execute(f'CREATE DATABASE "{later}"')
        try:
            await eventually(lambda: one.is_listening)
            async with open_connection(database_url.replace(name, later)) as connection:
                await connection.execute("SELECT pg_notify('first', 'a')")
            await eventually(lambda: heard.payloads == ["a"])
        finally:
            await pool.execute(f'DROP DATABASE "{later}" WITH (FORCE)')
