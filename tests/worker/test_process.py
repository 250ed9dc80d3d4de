"""The worker as a process: its schedule with and without Redis, its signs of life, its metrics, its key."""

import asyncio
import datetime as dt
import json
import os
import re
import signal
import stat
import sys
import uuid

import aiohttp
import pytest
from solders.keypair import Keypair

from chain.base58 import b58encode
from chain.references import fresh_reference
from ledger.payment_requests import create_request
from ledger.reports import finished_report, reconciliation_state, request_reconciliation
from localnet.payments import USDC
from runtime.embedded.valkey import EmbeddedValkey
from runtime.errors import OperatorError
from runtime.settings import load
from tests.support.databases import short_lived_home
from tests.support.job_shop import FAST, PRICE, fast_settings, secret
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import book
from tests.support.small_ledger import add_merchant
from worker.gauges import inspect, measure
from worker.housekeeping import expire
from worker.main import running_worker
from worker.settings import WorkerSettings
from worker.signer import load_signer

NOBODY = "redis://127.0.0.1:1"


async def metrics_of(port):
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as answer:
        text = await answer.text()
    return dict(re.findall(r"^(pay402_\S+) (\S+)$", text, re.MULTILINE))


async def test_without_redis_the_passes_go_on(shop, indexer, net, database_url):
    settings = fast_settings(SETTLEMENT_KEYPAIR=secret(shop.wallet))
    async with running_worker(settings, database_url, NOBODY, [net.rpc_url]) as worker:
        order = await shop.order()
        await order.pay()
        await order.until("escrowed")
        for step in ("accept", "submit", "approve"):
            assert await order.step(step)
        await order.until("released")
        assert not worker.schedule.by_redis
    assert await shop.balance(shop.provider.pubkey()) == PRICE


async def test_redis_may_come_and_go(shop, net, database_url, pool):
    with short_lived_home() as home:
        server = EmbeddedValkey(home)
        server.enter()
        async with running_worker(fast_settings(), database_url, server.url, [net.rpc_url]) as worker:
            await eventually(lambda: worker.schedule.by_redis)
            await ran(worker, "move_jobs_and_payouts")
            await asyncio.to_thread(server.leave)
            await eventually(lambda: not worker.schedule.by_redis)
            await ran(worker, "move_jobs_and_payouts")


@pytest.mark.parametrize("by_redis", [True, False])
async def test_a_pass_that_meets_a_defect_pauses_and_the_others_go_on(
    shop, indexer, net, database_url, redis_url, by_redis
):
    """What can never succeed is not asked every second: it would fill the log and keep the database busy."""
    settings = fast_settings(SETTLEMENT_KEYPAIR=secret(shop.wallet))
    await shop.pool.execute(
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'broken' USING ERRCODE = 'check_violation'; END $$"
    )
    await shop.pool.execute(
        "CREATE TRIGGER broken BEFORE INSERT ON job_fundings FOR EACH ROW EXECUTE FUNCTION broken()"
    )
    async with running_worker(settings, database_url, redis_url if by_redis else NOBODY, [net.rpc_url]) as worker:
        order = await shop.order()
        await order.pay()
        defects = worker.context.metrics.runs.labels("move_jobs_and_payouts", "defect")
        sweeps = worker.context.metrics.runs.labels("sweep", "defect")
        await eventually(defects._value.get, seconds=40)
        assert worker.schedule.by_redis == by_redis
        for _ in range(3):
            await ran(worker, "reconcile_claims")
        assert defects._value.get() == 1
        assert sweeps._value.get() <= 1
        errors = worker.context.registry.get_sample_value("pay402_database_errors_total", {"kind": "defect"})
        assert errors == defects._value.get() + sweeps._value.get()
    await shop.pool.execute("DROP TRIGGER broken ON job_fundings")


async def ran(worker, job):
    """Wait for two more passes of `job`."""
    counter = worker.context.metrics.runs.labels(job, "ok")
    before = counter._value.get()
    await eventually(lambda: counter._value.get() >= before + 2, seconds=20)


async def test_with_redis_every_pass_runs_and_a_report_that_is_asked_for_is_made(shop, worker, pool):
    run = await request_reconciliation(pool, requested_by="test")

    done = await eventually(lambda: finished_report(pool, run))
    assert done.report["counts"]["unpaidClaim"] == 0
    assert (await reconciliation_state(pool, run)).status == "done"
    assert worker.schedule.by_redis
    for job in ("reconcile_claims", "move_jobs_and_payouts", "measure", "fold_totals", "inspect"):
        await eventually(lambda job=job: worker.context.metrics.runs.labels(job, "ok")._value.get() > 0)
    seen = await metrics_of(worker.metrics_port)
    assert seen['pay402_claims{status="pending"}'] == "0.0"
    assert seen['pay402_payouts_waiting{reason="insufficient_funds"}'] == "0.0"
    assert seen['pay402_invariant_violations{invariant="one_claim_per_transfer"}'] == "0.0"


async def test_signs_of_life_while_it_lives_and_none_afterwards(net, database_url, pool):
    count = "SELECT count(*) FROM heartbeats WHERE role = 'worker' AND at > now() - interval '2 seconds'"
    async with running_worker(fast_settings(), database_url, NOBODY, [net.rpc_url]):
        await eventually(lambda: pool.fetchval(count))
    assert await pool.fetchval("SELECT count(*) FROM heartbeats") == 0


async def test_sigterm_ends_it_well(net, database_url, redis_url):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "worker", "--json",
        env={
            "PATH": os.environ["PATH"], "DATABASE_URL": database_url, "REDIS_URL": redis_url,
            "SOLANA_RPC_URL": net.rpc_url, "LOG_LEVEL": "error", **{n: str(v) for n, v in FAST.items()},
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    ready = json.loads(await process.stdout.readline())
    assert "pay402_oldest_pending_claim_seconds" in await metrics_of(ready["metricsPort"])
    process.send_signal(signal.SIGTERM)
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, err.decode()) == (0, "")


@pytest.mark.parametrize("form", ["array", "base58", "file"])
def test_the_key_in_every_form(form, tmp_path):
    keypair = Keypair()
    given = {"array": secret(keypair), "base58": b58encode(bytes(keypair)), "file": str(tmp_path / "key.json")}[form]
    if form == "file":
        (tmp_path / "key.json").write_text(secret(keypair))
        (tmp_path / "key.json").chmod(0o600)
    settings = fast_settings(SETTLEMENT_KEYPAIR=given)
    signer = load_signer(settings)
    assert signer.address == str(keypair.pubkey())
    shown = f"{signer!r} {signer} {settings!r} {settings.model_dump()}"
    assert secret(keypair)[:20] not in shown
    assert b58encode(bytes(keypair))[:10] not in shown
    with pytest.raises(TypeError):
        __import__("pickle").dumps(signer)


def test_a_key_that_others_can_read_or_that_is_none_is_refused_without_a_word_of_it(tmp_path):
    keypair = Keypair()
    path = tmp_path / "key.json"
    path.write_text(secret(keypair))
    path.chmod(0o644)
    for given in (str(path), "[1,2,3]", "nonsense", str(tmp_path / "missing"), secret(keypair)[:-5] + "1]"):
        with pytest.raises(OperatorError) as refused:
            load_signer(fast_settings(SETTLEMENT_KEYPAIR=given))
        assert "SETTLEMENT_KEYPAIR" in str(refused.value)
        assert "1,2,3" not in str(refused.value)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    other = str(Keypair().pubkey())
    with pytest.raises(OperatorError, match="SETTLEMENT_WALLET"):
        load_signer(fast_settings(SETTLEMENT_KEYPAIR=secret(keypair), SETTLEMENT_WALLET=other))


@pytest.mark.parametrize("form", ["array", "base58"])
def test_the_key_from_a_mounted_secret(form, tmp_path, monkeypatch):
    """As compose, Kubernetes and systemd give it: by SETTLEMENT_KEYPAIR_FILE, as private as by its path, or empty."""
    keypair = Keypair()
    path = tmp_path / "settlement_keypair"
    path.write_text({"array": secret(keypair), "base58": b58encode(bytes(keypair))}[form] + "\n")
    monkeypatch.setenv("SETTLEMENT_KEYPAIR_FILE", str(path))
    path.chmod(0o444)
    with pytest.raises(OperatorError, match=r"SETTLEMENT_KEYPAIR_FILE names is open to other users \(mode 444\)"):
        load(WorkerSettings)
    path.chmod(0o400)
    assert load_signer(load(WorkerSettings)).address == str(keypair.pubkey())
    # Nothing is configured: whoever mounts an empty file does not sign, and may show everybody that it is empty.
    path.write_text("\n")
    path.chmod(0o444)
    assert load_signer(load(WorkerSettings)) is None


async def test_what_has_expired_is_marked_and_what_nobody_needs_goes(shop, context, pool):
    async def request(days):
        await pool.execute(
            "INSERT INTO nonces (nonce, user_id, recipient, mint, currency, amount, reference, expires_at, expired_at)"
            " VALUES ($1, 'merchant', $2, $3, 'USDC', 5, $4, $5, $6)",
            uuid.uuid4().hex, str(shop.wallet.pubkey()), str(USDC), str(Keypair().pubkey()),
            dt.datetime.now(dt.UTC) - dt.timedelta(days=days),
            dt.datetime.now(dt.UTC) - dt.timedelta(days=days) if days > 2 else None,
        )  # fmt: skip

    for days in (-1, 1, 40):
        await request(days)
    kept = await shop.order(funding_seconds=-40 * 86_400)
    await pool.execute("UPDATE nonces SET expired_at = expires_at WHERE nonce = $1", kept.nonce)
    await pool.execute(
        "INSERT INTO idempotent_answers (caller, idempotency_key, request_hash, status, headers, body, created_at)"
        " SELECT 'a', age::text, 'x', 200, '{}', 'secret', now() - age"
        " FROM unnest('{1 hour,25 hours,40 days}'::interval[]) AS age"
    )
    await pool.execute(
        "INSERT INTO api_keys (key_prefix, key, user_id, name, environment, permissions, revoked_at) VALUES"
        " ('sk_live_a', $1, 'u', 'n', 'live', '{read}', now() - interval '1 second'),"
        " ('sk_live_b', $2, 'u', 'n', 'live', '{read}', now() + interval '1 hour')",
        "a" * 64,
        "b" * 64,
    )
    done = await expire(context)
    assert (done.requests_expired, done.requests_removed, done.answers_removed, done.keys_revoked) == (1, 1, 2, 1)
    answers = await pool.fetch("SELECT body FROM idempotent_answers ORDER BY created_at")
    assert [row["body"] for row in answers] == [None, b"secret"]
    # A job's request stays, however old.
    assert await pool.fetchval("SELECT count(*) FROM nonces") == 3
    assert (await expire(context)).requests_expired == 0


@pytest.mark.parametrize("by", ["memo", "reference"])
async def test_a_request_that_a_payment_names_stays_however_old(pool, context, by):
    """Once it were gone, the payment could be claimed for anything else."""
    merchant = await add_merchant(pool, "shop", 1)
    ends = dt.datetime.now(dt.UTC) - dt.timedelta(days=40)
    terms = {"recipient": merchant.wallet, "mint": str(USDC), "currency": "USDC", "amount": 5, "resource": None}
    named, _ = [
        await create_request(pool, user_id=merchant.user, expires_at=ends, reference=fresh_reference(), **terms)
        for _ in range(2)
    ]
    await pool.execute("UPDATE nonces SET expired_at = expires_at")
    names = {"memos": [named.nonce]} if by == "memo" else {"reference_keys": [named.reference]}
    await book(pool, Keypair().pubkey(), merchant.wallet, 5, **names)
    assert (await expire(context)).requests_removed == 1
    assert [row["nonce"] for row in await pool.fetch("SELECT nonce FROM nonces")] == [named.nonce]


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("earnings_are_released", "UPDATE agent_services SET total_earnings = total_earnings + 1"),
        ("escrow_is_the_price", "UPDATE job_requests SET price_amount = price_amount + 1"),
        ("funding_is_whole", "UPDATE job_fundings SET rest = 1, rest_reason = 'excess'"),
        ("paid_out_and_held_are_funded", "UPDATE payouts SET amount = amount + 1"),
        ("settled_payouts_are_paid", "UPDATE payouts SET amount = amount + 1"),
        ("settled_jobs_are_paid", "UPDATE payouts SET kind = 'refund'"),
        ("claims_within_their_transfers", "UPDATE transactions SET received = received + 1"),
        ("final_claims_stand", "UPDATE transfers SET finality = 'confirmed'"),
        (
            "one_transfer_per_payout",
            """UPDATE transfers SET source_owner = wallet, destination_owner = recipient,
            reference_keys = ARRAY[reference::text] FROM payouts""",
        ),
    ],
)  # fmt: skip
async def test_harm_is_noticed_by_its_invariant(shop, indexer, context, name, harm):
    from worker.claims.decide import reconcile
    from worker.escrow import move_jobs_and_payouts

    order = await shop.order()
    await order.pay()

    async def moved():
        await reconcile(context)
        await move_jobs_and_payouts(context)
        row = await order.row()
        if row["escrow_status"] == "escrowed" and row["status"] == "accepted":
            assert await order.step("submit")
            assert await order.step("approve")
        return row["escrow_status"] == "released"

    assert await order.step("accept")
    await eventually(moved)
    assert await inspect(context) == 0
    await shop.pool.execute(harm)
    assert name in {violation.invariant for violation in await shop.violations()}

    async def noticed():
        if "finality" in harm:
            # The indexer is at work, and makes the transfer final again.
            await shop.pool.execute(harm)
        return await inspect(context) > 0

    await eventually(noticed)
    assert context.metrics.violations.labels(name)._value.get() > 0
    await measure(context)
    assert context.metrics.payouts.labels("settled")._value.get() == 1
