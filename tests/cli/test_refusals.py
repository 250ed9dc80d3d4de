"""What no command can work with: one sentence that says what to do next, and an exit code that is not zero."""

import pytest
from aiohttp import web

from migrations import revisions
from runtime.database import open_connection
from tests.support.command_line import eventually, pay402, processes_of, running

WALLET = "7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q"
SECRET_PATH = "/v2/hunter4?api-key=hunter4"


async def test_an_unknown_network_stops_the_indexer(home, database_url):
    given = {"DATABASE_URL": database_url, "SOLANA_RPC_URL": "http://127.0.0.1:1"}
    done = await pay402("indexer", home=home, SOLANA_NETWORK="mainnet", **given)
    done.assert_refused("SOLANA_NETWORK", "'mainnet'", "'mainnet-beta'")


@pytest.mark.parametrize("command", [("indexer",), ("audit",), ("recipients", "list")], ids=" ".join)
async def test_a_database_that_does_not_answer_is_reported_by_place(home, closed_port, command):
    given = {
        "DATABASE_URL": f"postgresql://ledger:hunter2@127.0.0.1:{closed_port}/books",
        "SOLANA_RPC_URL": f"http://127.0.0.1:{closed_port}{SECRET_PATH}",
    }
    done = await pay402(*command, home=home, **given)
    done.assert_refused(f"127.0.0.1:{closed_port}/books", "DATABASE_URL", hiding=("hunter2", "hunter4"))


@pytest.mark.parametrize(
    "dsn", ["mysql://u:hunter2@db/x", "postgresql://u:1/hunter2@127.0.0.1:1/x"], ids=["scheme", "sign in password"]
)
async def test_a_malformed_address_of_the_database_is_reported_without_it(home, dsn):
    done = await pay402("recipients", "list", home=home, DATABASE_URL=dsn)
    done.assert_refused("DATABASE_URL", hiding=("hunter2", dsn))


@pytest.mark.parametrize("command", [("indexer",), ("backfill",), ("recipients", "add", WALLET)], ids=" ".join)
async def test_a_database_without_our_schema_has_to_be_migrated(home, empty_database, closed_port, command):
    given = {"DATABASE_URL": empty_database, "SOLANA_RPC_URL": f"http://127.0.0.1:{closed_port}"}
    (await pay402(*command, home=home, **given)).assert_refused("schema", "pay402 migrate up")


async def test_a_schema_from_the_future_is_left_alone(home, database_url):
    async with open_connection(database_url) as connection:
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
        for command in (("recipients", "list"), ("migrate", "up")):
            done = await pay402(*command, home=home, DATABASE_URL=database_url)
            done.assert_refused("9999", revisions.known_revisions()[-1], "newer")
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == "9999"


async def test_an_unknown_revision_is_reported_with_the_known_ones(home, empty_database):
    done = await pay402("migrate", "up", "nonsense", home=home, DATABASE_URL=empty_database)
    done.assert_refused("'nonsense'", *revisions.known_revisions())


@pytest.mark.parametrize(
    ("arguments", "naming"),
    [
        (("nonsense",), "'nonsense'"),
        (("recipients", "add"), "address"),
        (("up", "--jsn"), "--json"),
        (("localnet", "--port", "65535"), "--port"),
        (("backfill", "--since", "yesterday"), "--since"),
    ],
    ids=str,
)
async def test_a_wrong_command_line_is_reported_with_where_help_is(home, arguments, naming):
    (await pay402(*arguments, home=home)).assert_refused(naming, "--help", code=2)
    assert list(home.iterdir()) == []


async def test_a_taken_port_of_the_localnet_is_reported(home, taken_port):
    done = await pay402("localnet", "--port", taken_port, home=home)
    done.assert_refused(str(taken_port), "--port")


async def test_a_localnet_takes_another_port_where_that_is_asked_for(home, taken_port):
    async with running("localnet", "--json", "--port", taken_port, "--any-if-taken", home=home) as localnet:
        assert str(taken_port) not in await localnet.line()
        assert (await localnet.stopped()).code == 0


async def test_a_wrong_environment_stops_a_localnet_too(home):
    (await pay402("localnet", home=home, APP_ENV="prod")).assert_refused("APP_ENV", "'production'")


async def test_a_taken_port_of_the_metrics_is_reported(home, database_url, net, taken_port):
    given = {"DATABASE_URL": database_url, "SOLANA_RPC_URL": net.rpc_url, "METRICS_PORT": str(taken_port)}
    done = await pay402("indexer", home=home, **given)
    done.assert_refused(str(taken_port), "METRICS_PORT", "ENABLE_METRICS")


async def test_production_starts_nothing_by_itself(home):
    done = await pay402("up", home=home, NODE_ENV="production")
    done.assert_refused(
        "ALLOWED_ORIGINS, DATABASE_URL, JWT_SECRET, REDIS_URL, SOLANA_NETWORK, SOLANA_RPC_URL and WEBHOOK_KEY"
    )
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("command", [("audit", WALLET), ("backfill", "--recipient", WALLET)], ids=lambda one: one[0])
async def test_a_wallet_that_nobody_follows_is_reported_and_not_found_in_order(
    home, database_url, closed_port, command
):
    given = {"DATABASE_URL": database_url, "SOLANA_RPC_URL": f"http://127.0.0.1:{closed_port}"}
    (await pay402(*command, home=home, **given)).assert_refused("followed", "pay402 recipients list")


async def test_a_demo_never_pays_on_a_chain_of_somebody_else(home):
    done = await pay402("demo", "--once", home=home, SOLANA_RPC_URL=f"https://rpc.example{SECRET_PATH}")
    done.assert_refused("SOLANA_RPC_URL", hiding=("hunter4",))


async def test_no_node_and_no_localnet_is_reported(home, database_url):
    done = await pay402("indexer", home=home, DATABASE_URL=database_url)
    done.assert_refused("SOLANA_RPC_URL", "pay402 up")
    assert processes_of(home) == []


async def test_an_indexer_outlives_nodes_that_do_not_answer_or_refuse_and_shows_no_secret(home, database_url):
    refused = []

    async def refuse(request):
        refused.append(request.path)
        return web.Response(status=401)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        port = runner.addresses[0][1]
        given = {
            "DATABASE_URL": database_url,
            "SOLANA_RPC_URL": f"http://127.0.0.1:{port}/v2/0123456789abcdefhunter4abcdef0123456789",
            "SOLANA_WS_URL": f"ws://127.0.0.1:{port}/v2/0123456789abcdefhunter4abcdef0123456789",
            "METRICS_PORT": "0",
        }
        async with open_connection(database_url) as connection:
            await connection.execute(
                "INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ($1, 'shop', 0)",
                WALLET,
            )
        async with running("indexer", "--json", home=home, **given) as indexer:
            await indexer.line()
            await eventually(lambda: len(refused) > 2 and "socket_ended" in indexer.errors())
            done = await indexer.stopped()
            assert done.code == 0
            assert "Traceback" not in done.err
            assert "hunter4" not in done.err
    finally:
        await runner.cleanup()
