"""Every process with its own rights in the database, through a whole day's work; and what it leaves in logs."""

import base64
import json
import re

import asyncpg
import pytest
from solders.keypair import Keypair

from localnet.market import open_market
from runtime.database import open_connection
from tests.security.confined import PROCESSES, confined_system, login_of
from tests.support.api_client import Client, key_for, pay_usdc, proof_of
from tests.support.api_operations import BOOTSTRAP, SECRET, bearing
from tests.support.databases import execute
from tests.support.job_shop import FAST, PRICE, Shop, secret
from tests.support.ledger_checks import eventually, follow

INDEXER = {"INDEXER_POLL_SECONDS": "0.2", "INDEXER_SCAN_SECONDS": "1", "INDEXER_FINALIZE_SECONDS": "0.2",
           "INDEXER_AUDIT_SECONDS": "1", "METRICS_PORT": "0"}  # fmt: skip
# In the path and in the query of a node's address, as providers put their keys.
NODE_KEY = "4f0c5f2e9b7a4d16a3c8e1b2d7f60911"
# What says that a process was refused a right by the database.
DENIED = re.compile(r"permission denied|InsufficientPrivilege", re.IGNORECASE)


@pytest.fixture
async def system(database_url, redis_url, net, tmp_path, pool):
    """Everything, running, with a market on its chain: the processes, the market, a shop of jobs, the secrets."""
    settlement = Keypair()
    common = {
        "REDIS_URL": redis_url, "SOLANA_RPC_URL": f"{net.rpc_url}/?api-key={NODE_KEY}", "SOLANA_WS_URL": net.ws_url,
        "LOG_LEVEL": "debug", "APP_ENV": "test", "PAY402_HOME": str(tmp_path),
    }  # fmt: skip
    environments = {
        "api": {
            **common, "PORT": "0", "JWT_SECRET": SECRET, "BOOTSTRAP_TOKEN": BOOTSTRAP, "VERIFY_WAIT_MS": "3000",
            "SETTLEMENT_WALLET": str(settlement.pubkey()),
        },
        "indexer": {**common, **INDEXER},
        "worker": {**common, **{n: str(v) for n, v in FAST.items()}, "SETTLEMENT_KEYPAIR": secret(settlement)},
    }  # fmt: skip
    async with open_market(net.rpc_url, payers=2, recipients=2) as market:
        await market.prepare()
        shop = Shop(pool, market.rpc, settlement)
        await shop.prepare()
        for wallet in (*market.wallets, str(settlement.pubkey())):
            await follow(pool, wallet)
        async with confined_system(database_url, tmp_path, environments) as running:
            yield running, market, shop


async def work(running, market, shop, pool):
    """Keys, payments, proofs good and bad, a job from its order to its payout; returns every secret in it."""
    import aiohttp

    async with aiohttp.ClientSession() as http:
        api = Client(running["api"].url, http)
        merchant = api.holding(await key_for(pool))
        first = await api.post("/api-keys", {"name": "first"}, headers=bearing(BOOTSTRAP))
        made = await merchant.post(
            "/api-keys", {"name": "n", "permissions": ["read"]}, headers={"Idempotency-Key": "k"}
        )
        assert made.status == 201
        token = (await merchant.post("/auth/token", {}))["token"]
        transaction, payer = await pay_usdc(market, 10_000)
        proof = proof_of(payer, transaction, "0.01")
        assert (await merchant.verify(proof)).code == "VALID"
        assert (await merchant.verify(proof)).code == "REPLAY_ATTACK"
        early = proof_of(payer, str(payer.sign_message(b"never sent")), "0.01")
        assert (await merchant.verify(early)).code == "PAYMENT_PENDING"
        assert (await api.holding("sk_live_" + "f" * 74).get("/recipients")).status == 401
        assert (await api.get("/recipients", headers=bearing("a.b.c" + token))).status == 401
        for path in ("/payments", "/analytics", "/analytics/revenue", "/api-keys", "/recipients", "/marketplace/jobs"):
            assert (await merchant.get(path)).status == 200, path
        requested = await merchant.post(
            "/payments/requests", {"amount": "1", "currency": "USDC", "recipient": market.wallets[0]}
        )
        assert requested.status == 201
        admin = api.holding(first["apiKey"])
        assert (await admin.post("/ops/reconcile")).status == 202
        assert (await admin.post("/ops/backfill", {"recipient": market.wallets[0]})).status == 202
        assert (await merchant.delete(f"/api-keys/{made['keyPrefix']}")).status == 200

        order = await shop.order()
        await order.pay()
        await order.until("escrowed")
        for step in ("accept", "submit", "approve"):
            assert await order.step(step)
        await order.until("released", seconds=40)
        assert await shop.balance(shop.provider.pubkey()) == PRICE

        async def is_reported():
            return await pool.fetchval("SELECT count(*) FROM reconciliation_runs WHERE status = 'done'")

        await eventually(is_reported, seconds=30)
        assert (await api.get("/ready")).status == 200
    return {
        "an API key": merchant.key, "an admin's key": first["apiKey"], "a key that is gone": made["apiKey"],
        "an access token": token, "the secret of tokens": SECRET, "the bootstrap token": BOOTSTRAP,
        "a proof's signature": proof["signature"], "a proof's nonce": proof["nonce"], "an early nonce": early["nonce"],
        "a request's nonce": requested["nonce"], "a payment": transaction, "a payer": proof["payer"],
        "a wallet": market.wallets[0], "a payment that never was": early["transactionId"], "a node's key": NODE_KEY,
        "the settlement key": secret(shop.wallet), "the settlement key's bytes": secret(shop.wallet)[1:120],
    }  # fmt: skip


async def test_each_process_does_its_work_with_its_own_rights_and_shows_no_secret(system, pool):
    running, market, shop = system
    known = await work(running, market, shop, pool)
    metrics = {name: await process.metrics() for name, process in running.items()}
    for name, process in running.items():
        known[f"the password of {name}"] = re.search(r"//\w+:([^@]+)@", process.dsn)[1]
    logs = {name: process.log.read_text() for name, process in running.items()}

    left = {f"log of {name}": text for name, text in logs.items()}
    left |= {f"metrics of {name}": text for name, text in metrics.items()}
    assert len(left) == 2 * len(PROCESSES)
    reported = {(what, where) for where, text in left.items() for what, value in known.items() if value in text}
    assert reported == set()
    assert all(len(text) > 200 for text in left.values())
    # Nor half of a key: what stands behind its public beginning.
    halves = {key[18:] for what, key in known.items() if "key" in what and key.startswith("sk_")}
    assert len(halves) == 3
    assert [half for half in halves for text in left.values() if half[:24] in text] == []
    for name, text in metrics.items():
        labels = re.findall(r'(\w+)="([^"]*)"', text)
        assert labels
        # No address, no signature, no user: whatever grows with what callers send or chains hold.
        assert [pair for pair in labels if re.fullmatch(r"[1-9A-HJ-NP-Za-km-z]{32,88}", pair[1])] == [], name
        assert "merchant" not in {value for _, value in labels}

    for name, text in logs.items():
        assert not DENIED.search(text), (name, DENIED.search(text))
        assert [line for line in map(json.loads, text.splitlines()) if line["level"] in {"error", "critical"}] == [], (
            name
        )
    assert [await process.stop() for process in running.values()] == [0, 0, 0]


# What each login must not do, whatever its process is made to say.
REFUSED = {
    "api": ["INSERT INTO transfers DEFAULT VALUES", "UPDATE transfers SET amount = 1", "DELETE FROM balance_changes",
            "UPDATE payouts SET recipient = wallet", "SELECT wire FROM payout_attempts",
            "UPDATE settlements SET amount = 1", "UPDATE settlements SET wire = NULL", "DELETE FROM settlements",
            "DELETE FROM settlement_budgets"],
    "indexer": ["SELECT key FROM api_keys", "INSERT INTO transactions DEFAULT VALUES",
                "SELECT wire FROM payout_attempts", "DELETE FROM transfers", "UPDATE recipients SET user_id = 'me'",
                "SELECT wire FROM settlements"],
    "worker": ["SELECT key FROM api_keys", "INSERT INTO transfers DEFAULT VALUES",
               "UPDATE recipients SET user_id = 'me'", "DELETE FROM payouts",
               "INSERT INTO settlements DEFAULT VALUES", "UPDATE settlements SET pay_to = payer",
               "UPDATE settlement_budgets SET lamports_max = 0"],
    "analytics": ["SELECT key FROM api_keys", "SELECT FROM transfers", "SELECT FROM nonces", "SELECT FROM transactions",
                  "INSERT INTO events (type, subject) VALUES ('x', 'x')"],
}  # fmt: skip
NOBODYS = ["CREATE TABLE mine (a int)", "CREATE ROLE mine", "ALTER ROLE pay402_api LOGIN", "SET ROLE postgres",
           "COPY (SELECT 1) TO PROGRAM 'true'", "SELECT pg_read_file('/etc/passwd')", "DROP TABLE events",
           "TRUNCATE events", "ALTER TABLE transfers DISABLE TRIGGER ALL",
           "SELECT rolpassword FROM pg_authid", "SET session_replication_role = replica",
           "UPDATE alembic_version SET version_num = '0'"]  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_a_login_that_is_stolen_is_worth_no_more_than_its_process(database_url, name):
    dsn, _ = await login_of(database_url, f"pay402_{name}")
    async with open_connection(dsn) as connection:
        for statement in (*REFUSED[name], *NOBODYS):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_a_stolen_dump_holds_no_key_that_opens_anything(database_url, pool, redis_url):
    """Hashes and prefixes are no keys; a kept answer that showed one, and what webhooks are signed with, is noise."""
    from tests.support.api_client import running_api

    settings = {"WEBHOOK_KEY": SECRET, "WEBHOOK_PRIVATE_RECEIVERS": True}
    async with running_api(database_url, redis_url, ["http://127.0.0.1:9"], **settings) as api:
        admin = api.holding(await key_for(pool, "operations", ("read", "write", "admin")))
        made = await admin.post("/api-keys", {"name": "n"}, headers={"Idempotency-Key": "once"})
        hook = await admin.post("/webhooks", {"url": "http://127.0.0.1:9/"}, headers={"Idempotency-Key": "hook"})
        turned = await admin.post(f"/webhooks/{hook['id']}/rotate", headers={"Idempotency-Key": "turn"})
        tables = [row[0] for row in await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        dump = str([dict(row) for table in tables for row in await pool.fetch(f"SELECT * FROM {table}")])
        assert made["keyPrefix"] in dump
        for key in (admin.key, made["apiKey"]):
            assert key not in dump
            assert key[18:] not in dump
        for text in (hook["secret"], turned["secret"]):
            secret_of_webhook = base64.b64decode(text.removeprefix("whsec_"))
            for form in (text, text.removeprefix("whsec_"), secret_of_webhook.hex(), repr(secret_of_webhook)[2:-1]):
                assert form not in dump
        stolen = [value for row in await pool.fetch("SELECT key, key_prefix FROM api_keys") for value in row]
        assert len(stolen) == 4
        for value in (*stolen, *(f"sk_live_{one}" for one in stolen), "%", "' OR true --", ""):
            for headers in ({"x-api-key": value}, bearing(value)):
                assert (await api.get("/api-keys", headers=headers)).status == 401, value


async def test_the_roles_cannot_log_in_by_themselves(database_url):
    for name in (*PROCESSES, "analytics"):
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await execute(re.sub(r"//[^@]*@", f"//pay402_{name}@", database_url), "SELECT 1")
