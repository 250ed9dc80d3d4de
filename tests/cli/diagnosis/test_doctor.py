"""`pay402 doctor`: each kind of thing that can be wrong, made wrong for real."""

import asyncio
import contextlib
import json

import pytest
import redis.asyncio
from aiohttp import web
from solders.keypair import Keypair

from cli.diagnosis import cache, database, nodes
from localnet import Localnet
from migrations import downgrade
from runtime.cluster import GENESIS_HASHES
from runtime.database import open_connection
from tests.support.command_line import pay402
from tests.support.http_serving import serving

RECIPIENT = "7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q"
STRONG = "f1c5b2a98d7e604312ab90cdf4e5768139b0c2d7a8e6f5041723964508bdface"
BEATS = "INSERT INTO heartbeats (role, instance, seen_slot, recorded_slot) VALUES ($1, 'one', 1000, $2)"


async def doctor(home, *arguments, **variables):
    done = await pay402("doctor", "--json", *arguments, home=home, **variables)
    assert done.err == "", done.err
    report = json.loads(done.out)
    findings = {(one["part"], one["check"]): one for one in report["findings"]}
    assert report["ok"] == (done.code == 0)
    assert report["ok"] == all(one["verdict"] != "failure" for one in findings.values())
    # Whatever is wrong comes with what to do.
    assert all(one["remedy"] for one in findings.values() if one["verdict"] != "ok")
    return report["ok"], findings


@pytest.fixture
async def alive(pool):
    """A followed wallet whose books agree, an indexer and a worker that have just shown themselves."""
    await pool.execute(
        "INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ($1, 'shop', 0)", RECIPIENT
    )
    await pool.execute(
        """
        INSERT INTO token_accounts (address, recipient, mint, program, audited_at, audited_slot, audited_balance)
        VALUES ($1, $1, $1, $1, now(), 5, 0)
        """,
        RECIPIENT,
    )
    await pool.execute(BEATS, "indexer", 998)
    await pool.execute(BEATS, "worker", None)


@pytest.fixture
def variables(database_url, redis_url, net):
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SOLANA_RPC_URL": net.rpc_url,
        "SOLANA_WS_URL": net.ws_url,
        "SOLANA_NETWORK": "localnet",
    }


def failures(findings):
    return {key for key, one in findings.items() if one["verdict"] == "failure"}


async def test_a_sound_system_passes_as_a_table_and_as_json(home, alive, variables):
    ok, findings = await doctor(home, **variables)
    assert ok, findings
    assert {key for key, one in findings.items() if one["verdict"] != "ok"} == set()
    table = await pay402("doctor", home=home, **variables)
    assert table.code == 0
    for word in ("Postgres", "indexes", "noeviction", "genesis", "agree with the chain"):
        assert word in table.out


async def test_the_table_has_everything_that_a_deployment_stands_on(home, alive, variables):
    given = {"JWT_SECRET": STRONG, "WEBHOOK_KEY": STRONG, "ALLOWED_ORIGINS": "https://dashboard.example.com"}
    _, findings = await doctor(home, **variables, **given)
    assert set(findings) >= {
        ("settings", "complete"), ("secrets", "JWT_SECRET"), ("secrets", "WEBHOOK_KEY"), ("cors", "ALLOWED_ORIGINS"),
        ("database", "version"), ("database", "schema"), ("database", "indexes"), ("database", "clock"),
        ("redis", "ping"), ("redis", "eviction"),
        ("node 127.0.0.1", "answers"), ("node 127.0.0.1", "cluster"), ("node 127.0.0.1", "clock"),
        ("socket 127.0.0.1", "slots"),
        ("ledger", "audit"), ("ledger", "money"), ("indexer", "alive"), ("indexer", "lag"), ("worker", "alive"),
    }  # fmt: skip


async def test_the_settlement_key_is_read_as_the_worker_would_and_not_shown(home, alive, variables, tmp_path):
    keypair = Keypair()
    path = tmp_path / "key.json"
    path.write_text(keypair.to_json())
    path.chmod(0o600)
    given = {**variables, "SETTLEMENT_KEYPAIR_FILE": str(path)}
    ok, findings = await doctor(home, **given, SETTLEMENT_WALLET=str(keypair.pubkey()))
    assert ok, findings
    assert findings["secrets", "SETTLEMENT_KEYPAIR"]["detail"] == f"signs as {keypair.pubkey()}"
    _, findings = await doctor(home, **given, SETTLEMENT_WALLET=RECIPIENT)
    assert failures(findings) == {("secrets", "SETTLEMENT_KEYPAIR")}
    path.chmod(0o644)
    _, findings = await doctor(home, **given)
    assert failures(findings) == {("secrets", "SETTLEMENT_KEYPAIR")}
    assert "chmod 600" in findings["secrets", "SETTLEMENT_KEYPAIR"]["remedy"]
    assert keypair.to_json()[1:30] not in str(findings)


async def test_fee_payers_are_looked_at_for_their_sol(home, alive, variables, net):
    rich, low, poor = Keypair(), Keypair(), Keypair()
    net.chain.faucet.fund_lamports(rich.pubkey(), 10**9)
    net.chain.faucet.fund_lamports(low.pubkey(), 10**6)
    net.chain.tick(2)
    keys = ",".join(str(one) for one in (rich, low, poor))
    _, findings = await doctor(home, **variables, X402_FEE_PAYER_KEYPAIR=keys)
    verdicts = [findings["x402", f"fee payer {one.pubkey()}"]["verdict"] for one in (rich, low, poor)]
    assert verdicts == ["ok", "warning", "failure"]
    assert str(rich) not in str(findings)


async def test_every_part_is_examined_even_when_all_of_them_are_beyond_reach(home, closed_port):
    there = f"127.0.0.1:{closed_port}"
    ok, findings = await doctor(
        home,
        DATABASE_URL=f"postgresql://user:hunter2@{there}/ledger",
        REDIS_URL=f"redis://:hunter3@{there}/0",
        SOLANA_RPC_URL=f"http://{there}/?api-key=hunter4",
    )
    assert not ok
    assert failures(findings) >= {("database", "connection"), ("redis", "ping"), ("node 127.0.0.1", "answers")}
    assert ("socket 127.0.0.1", "slots") in failures(findings)
    assert "hunter" not in str(findings)


async def test_production_with_nothing_set_names_what_is_missing(home):
    ok, findings = await doctor(home, APP_ENV="production")
    assert not ok
    assert failures(findings) >= {
        ("secrets", "JWT_SECRET"), ("secrets", "WEBHOOK_KEY"), ("cors", "ALLOWED_ORIGINS"), ("database", "connection"),
    }  # fmt: skip
    assert "openssl rand -hex 32" in findings["secrets", "JWT_SECRET"]["remedy"]


@contextlib.asynccontextmanager
async def password(redis_url):
    """The server asks for a password meanwhile; yields the address with it."""
    client = redis.asyncio.from_url(redis_url)
    await client.config_set("requirepass", "hunter5")
    try:
        yield redis_url.replace("://", "://:hunter5@")
    finally:
        guarded = redis.asyncio.from_url(redis_url.replace("://", "://:hunter5@"))
        await guarded.config_set("requirepass", "")
        await guarded.aclose()
        await client.aclose()


async def test_production_with_everything_as_it_should_be_passes(home, alive, variables):
    async with password(variables["REDIS_URL"]) as guarded:
        ok, findings = await doctor(
            home,
            **variables
            | {
                "APP_ENV": "production",
                "REDIS_URL": guarded,
                "JWT_SECRET": STRONG,
                "WEBHOOK_KEY": f"{STRONG},{STRONG[::-1]}",
                "ALLOWED_ORIGINS": "https://dashboard.example.com",
            },
        )
    assert ok, findings
    assert findings["settings", "complete"]["detail"] == "for production"
    assert {key for key, one in findings.items() if one["verdict"] != "ok"} == set()
    assert STRONG not in str(findings)
    assert "hunter" not in str(findings)


async def test_an_older_schema_is_reported(home, database_url):
    await downgrade(database_url)
    (schema,) = [
        one for one in await database.examine(database_url, production=False, at_rest=False) if one.check == "schema"
    ]
    assert (schema.verdict, schema.remedy) == ("failure", "run pay402 migrate up")


async def the(check, database_url, **changes):
    given = {"production": False, "at_rest": False, **changes}
    found = [one for one in await database.examine(database_url, **given) if one.check == check]
    assert len(found) == 1, found
    return found[0]


async def test_an_index_that_is_missing_invalid_or_another_is_reported(database_url, pool):
    assert (await the("indexes", database_url)).verdict == "ok"
    await pool.execute("DROP INDEX events_type_at")
    await pool.execute("DROP INDEX transfers_source_owner_slot")
    await pool.execute("CREATE INDEX transfers_source_owner_slot ON transfers (slot)")
    await pool.execute("DROP INDEX token_accounts_recipient")
    await pool.execute(
        "INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ($1, 'shop', 0)", RECIPIENT
    )
    await pool.execute(
        """
        INSERT INTO token_accounts (address, recipient, mint, program)
        VALUES ($1, $1, $1, $1), (replace($1, 'v', 'w'), $1, $1, $1)
        """,
        RECIPIENT,
    )
    async with open_connection(database_url) as connection:
        # What a build that was interrupted leaves behind.
        with pytest.raises(Exception, match="could not create unique index"):
            await connection.execute(
                "CREATE UNIQUE INDEX CONCURRENTLY token_accounts_recipient ON token_accounts (recipient)"
            )
    found = await the("indexes", database_url)
    assert found.verdict == "failure"
    assert "events_type_at is missing" in found.detail
    assert "token_accounts_recipient is not valid" in found.detail
    assert "transfers_source_owner_slot is not the one of our schema" in found.detail


async def test_books_that_disagree_and_healing_that_does_not_come_are_reported(database_url, pool, alive):
    await pool.execute("UPDATE token_accounts SET drift = 5, gaps = 2, heal_wanted_at = now() - interval '1 hour'")
    audit = await the("audit", database_url)
    assert (audit.verdict, audit.detail) == ("failure", "1 of 1 accounts drift, 2 gaps")
    assert (await the("healing", database_url)).verdict == "failure"


async def test_a_process_that_is_silent_or_lags_is_reported_unless_nothing_is_meant_to_run(database_url, pool, alive):
    await pool.execute("UPDATE heartbeats SET recorded_slot = 100 WHERE role = 'indexer'")
    assert (await the("lag", database_url)).verdict == "failure"
    await pool.execute("UPDATE heartbeats SET at = now() - interval '10 minutes' WHERE role = 'indexer'")

    async def verdicts(**changes):
        found = await database.examine(database_url, production=False, **changes)
        return {one.part: one.verdict for one in found if one.check == "alive"}

    assert await verdicts(at_rest=False) == {"indexer": "failure", "worker": "ok"}
    assert await verdicts(at_rest=True) == {"indexer": "warning", "worker": "ok"}


async def test_a_database_that_refuses_our_questions_is_reported(database_url, pool):
    await pool.execute("ALTER TABLE heartbeats RENAME TO hidden")
    try:
        assert (await the("queries", database_url)).verdict == "failure"
    finally:
        await pool.execute("ALTER TABLE hidden RENAME TO heartbeats")


async def test_redis_that_forgets_and_asks_for_no_password_is_reported(redis_url):
    client = redis.asyncio.from_url(redis_url)
    try:
        await client.config_set("maxmemory-policy", "allkeys-lru")
        found = {one.check: one.verdict for one in await cache.examine(redis_url, production=True)}
        assert found == {"ping": "ok", "writes": "ok", "password": "failure", "eviction": "warning"}
        await client.config_set("maxmemory-policy", "noeviction")
        found = {one.check: one.verdict for one in await cache.examine(redis_url, production=False)}
        assert found == {"ping": "ok", "writes": "ok", "eviction": "ok"}
    finally:
        await client.config_set("maxmemory-policy", "noeviction")
        await client.aclose()


async def of_nodes(*rpc_urls, network="localnet", ws_urls=()):
    found = await nodes.examine(rpc_urls, ws_urls, network)
    return [(one.check, one.verdict) for one in found], found


@pytest.mark.parametrize("network", ["mainnet-beta", "devnet", "testnet"])
async def test_a_node_of_another_cluster_is_reported(net, network):
    verdicts, found = await of_nodes(net.rpc_url, network=network)
    assert ("cluster", "failure") in verdicts
    assert f"SOLANA_NETWORK is {network}" in str(found)


async def test_a_public_cluster_is_never_taken_for_the_localnet():
    genesis = GENESIS_HASHES["mainnet-beta"]

    async def answer(request):
        asked = await request.json()
        results = {
            "getGenesisHash": genesis,
            "getVersion": {"solana-core": "3.0.0"},
            "getSlot": 5,
            "getHealth": "ok",
            "getBlockTime": 1,
        }
        return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": results[asked["method"]]})

    async with serving(answer) as url:
        verdicts, _ = await of_nodes(url)
        assert ("cluster", "failure") in verdicts
        # Its clock is half a century off, which only a localnet may be.
        verdicts, _ = await of_nodes(url, network="mainnet-beta")
        assert ("cluster", "ok") in verdicts
        assert ("clock", "failure") in verdicts


async def test_a_node_that_is_behind_says_so_and_is_held_against_the_others(net):
    async with Localnet.start(chain=net.chain) as other:
        net.chain.tick(400)
        other.set_faults({"nodeBehindSlots": 140})
        verdicts, found = await of_nodes(net.rpc_url, other.rpc_url)
    assert ("health", "failure") in verdicts
    assert [verdict for check, verdict in verdicts if check == "abreast"] == ["ok", "warning"], found


async def test_a_node_that_wants_fewer_requests_or_breaks_off_is_reported(net):
    net.set_faults({"tooManyRequests": 1})
    verdicts, _ = await of_nodes(net.rpc_url)
    assert verdicts == [("answers", "failure")]
    net.set_faults({"tooManyRequests": 0, "malformedAnswers": 1})
    verdicts, _ = await of_nodes(net.rpc_url)
    assert verdicts == [("answers", "failure")]


async def test_a_socket_that_shows_no_slot_is_reported(net, monkeypatch):
    monkeypatch.setattr(nodes, "_SOCKET_SECONDS", 1.0)
    verdicts, _ = await of_nodes(ws_urls=[net.ws_url])
    assert verdicts == [("slots", "ok")]
    net.set_faults({"socketsDeaf": {"rate": 1, "methods": ["slotNotification"]}})
    verdicts, _ = await of_nodes(ws_urls=[net.ws_url])
    assert verdicts == [("slots", "failure")]


async def test_what_takes_too_long_is_a_finding_too():
    from cli.diagnosis.diagnoses import bounded

    async def for_ever():
        await asyncio.sleep(60)
        return []

    (found,) = await bounded("database", "answers", 0.05, for_ever())
    assert (found.verdict, found.check) == ("failure", "answers")


async def test_accounts_that_strangers_opened_and_that_wait_are_said(home, alive, variables, pool):
    await pool.execute("UPDATE heartbeats SET at = clock_timestamp(), accounts_waiting = 950 WHERE role = 'indexer'")
    ok, findings = await doctor(home, **variables)
    assert ok
    assert findings["indexer", "accounts"]["verdict"] != "ok"
    assert "950" in findings["indexer", "accounts"]["detail"]
