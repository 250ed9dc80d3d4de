"""The database is lost: it comes back from a backup taken under load, or from the chain alone."""

import asyncio
import contextlib
import json
from pathlib import Path

from solders.keypair import Keypair

from indexer.main import running_indexer
from localnet import payments as pay
from runtime.database import open_pool
from runtime.embedded.postgres import postgres_binaries
from tests.support.another_server import another_server
from tests.support.api_client import key_for, pay_usdc, proof_of, running_api
from tests.support.command_line import pay402
from tests.support.databases import execute
from tests.support.fixtures.followed_market import market, market_of
from tests.support.ledger_checks import balances_agree, eventually, fast_settings, ledger_equals_chain, ledger_transfers

__all__ = ["another_server", "market", "market_of"]


@contextlib.asynccontextmanager
async def paying(market):
    """A payer who pays without a pause."""
    stop = asyncio.Event()

    async def run():
        payer, amount = market.payers[0], 1_000_000
        while not stop.is_set():
            amount += 1
            await market.pay(pay.plain(payer.pubkey(), market.recipients[0].pubkey(), amount), payer)

    running = asyncio.create_task(run())
    try:
        yield
    finally:
        stop.set()
        await running


async def final(net):
    slot = net.chain.slot("processed")
    await eventually(lambda: net.chain.slot("finalized") > slot)


async def passes(*command, home, variables):
    done = await pay402(*command, home=home, **variables)
    assert done.code == 0, done.out + done.err
    return done


async def test_a_backup_taken_under_load_restores_into_an_empty_server_and_passes_doctor_and_audit(
    home, market, net, pool, database_url, redis_url, another_server
):
    settings = fast_settings(INDEXER_FINALIZE_SECONDS=0.2, INDEXER_AUDIT_SECONDS=1)
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]):
        async with paying(market):
            await eventually(lambda: len(market.sent) > 10)
            before = len(market.sent)
            reported = (await pay402("backup", "--json", home=home, DATABASE_URL=database_url)).json
            assert len(market.sent) > before, "nobody paid while the backup was taken"
            await eventually(lambda: len(market.sent) > before + 10)
        await ledger_equals_chain(pool, market)
    await final(net)

    await execute(another_server.dsn("postgres"), "CREATE DATABASE ledger")
    lost, restored = database_url, another_server.dsn("ledger")
    variables = {
        "DATABASE_URL": restored,
        "REDIS_URL": redis_url,
        "SOLANA_RPC_URL": net.rpc_url,
        "SOLANA_WS_URL": net.ws_url,
    }
    assert restored != lost
    await passes("restore", reported["file"], home=home, variables=variables)
    report = await pay402("doctor", "--at-rest", "--json", home=home, **variables)
    assert report.code == 0, report.out
    async with open_pool(restored, application="test") as there:
        # What was paid while and after the backup was taken is on chain, and comes from there.
        held = await ledger_transfers(there, market.wallets)
        assert held.total() >= before - 5
        assert held != market.expected()
        await passes("audit", "--heal", home=home, variables=variables)
        await ledger_equals_chain(there, market)
        await balances_agree(there, net)
    clean = await passes("audit", "--whole", "--json", home=home, variables=variables)
    assert json.loads(clean.out)["findings"] == []
    assert json.loads(clean.out)["accounts"] > 0
    await passes("doctor", "--at-rest", home=home, variables=variables)


async def test_the_ledger_is_rebuilt_from_the_chain_alone(home, market, net, pool, empty_database):
    """Nothing is left but the wallets' addresses."""
    for payment, payer in market.every_kind():
        await market.pay(payment, payer)
    stranger = Keypair()
    await market.pay(pay.native_sol(market.payers[0].pubkey(), stranger.pubkey(), 10**9), market.payers[0])
    await market.settled()
    await final(net)
    market.sent.pop()  # not paid to us

    variables = {"DATABASE_URL": empty_database, "SOLANA_RPC_URL": net.rpc_url, "SOLANA_WS_URL": net.ws_url}
    await passes("migrate", "up", home=home, variables=variables)
    for wallet in market.wallets:
        await passes("recipients", "add", wallet, "--from-genesis", home=home, variables=variables)
    summary = (await passes("backfill", "--json", home=home, variables=variables)).json
    assert (summary["failed"], summary["new"] > 0) == (0, True)
    audit = (await passes("audit", "--whole", "--json", home=home, variables=variables)).json
    assert audit["findings"] == []
    assert audit["accounts"] >= 4
    async with open_pool(empty_database, application="test") as there:
        await ledger_equals_chain(there, market)
        await balances_agree(there, net)


async def rows_of(pool, table, without):
    """Every row of a table as JSON, but for columns that say when we wrote it."""
    rows = await pool.fetch(f"SELECT to_jsonb(t) - $1::text[] AS row FROM {table} AS t", without)
    return sorted(json.dumps(row["row"], sort_keys=True) for row in rows)


async def psql(dsn, name):
    """Run a script of ours as the runbook does; the exit code and what was said."""
    script = Path(__file__).parents[2] / "deploy" / "postgres" / name
    process = await asyncio.create_subprocess_exec(
        postgres_binaries() / "psql", dsn, "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--file={script}",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_the_transfers_are_rebuilt_from_the_chain_and_every_claim_keeps_its_own(
    home, market, net, pool, database_url, redis_url
):
    """The ledger's rows are lost, but not what was decided by them."""
    settings = fast_settings(INDEXER_FINALIZE_SECONDS=0.2)
    variables = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SOLANA_RPC_URL": net.rpc_url,
        "SOLANA_WS_URL": net.ws_url,
    }
    proofs = []
    async with (
        running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]),
        running_api(database_url, redis_url, [net.rpc_url]) as client,
    ):
        merchant = client.holding(await key_for(pool))
        for payment, payer in market.every_kind():
            await market.pay(payment, payer)
        for n in range(3):
            transaction, payer = await pay_usdc(market, 1_000_000 + n)
            proofs.append(proof_of(payer, transaction, f"1.00000{n}"))
            assert (await merchant.verify(proofs[-1])).code == "VALID"
        await ledger_equals_chain(pool, market)
        await final(net)
        await eventually(lambda: pool.fetchval("SELECT bool_and(finality = 'finalized') FROM transfers"))
        await eventually(lambda: pool.fetchval("SELECT bool_and(status = 'finalized') FROM transactions"))
    before = {
        "transfers": await rows_of(pool, "transfers", ["recorded_at", "notified_at"]),
        "balance_changes": await rows_of(pool, "balance_changes", ["recorded_at", "notified_at"]),
        "transactions": await rows_of(pool, "transactions", []),
    }
    assert len(before["transfers"]) > 20

    assert await psql(database_url, "empty-ledger.sql") == (0, "")
    assert await pool.fetchval("SELECT count(*) FROM transfers") == 0
    assert await rows_of(pool, "transactions", []) == before["transactions"]
    code, said = await psql(database_url, "close-ledger.sql")
    assert code == 3
    assert 'is not present in table "transfers"' in said
    summary = (await passes("backfill", "--from-slot", "0", "--json", home=home, variables=variables)).json
    assert summary["failed"] == 0
    assert await psql(database_url, "close-ledger.sql") == (0, "")
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]):
        await eventually(lambda: pool.fetchval("SELECT bool_and(finality = 'finalized') FROM transfers"))

    for table, rows in before.items():
        assert await rows_of(pool, table, ["recorded_at", "notified_at"]) == rows, table
    audit = (await passes("audit", "--whole", "--json", home=home, variables=variables)).json
    assert audit["findings"] == []
    await passes("doctor", "--at-rest", home=home, variables=variables)
    async with running_api(database_url, redis_url, [net.rpc_url]) as client:
        merchant = client.holding(merchant.key)
        for proof in proofs:
            again = proof | {"nonce": "another"} | {"signature": str(payer.sign_message(b"another"))}
            assert (await merchant.verify(proof)).code == "REPLAY_ATTACK"
            assert (await merchant.verify(again)).code == "REPLAY_ATTACK"


def test_the_runbook_names_these_rehearsals():
    runbook = (Path(__file__).parent.parent.parent / "docs" / "runbook.md").read_text(encoding="utf-8")
    assert "tests/scenarios/test_disasters.py" in runbook
    assert "tests/scenarios/test_upgrade.py" in runbook
