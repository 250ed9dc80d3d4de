"""The worker's commands against a real system: what they print, and what is true afterwards."""

import asyncio
import base64
import csv
import datetime as dt
import io
import json
import os
import sys

import pytest
from solders.keypair import Keypair
from solders.transaction import Transaction

from localnet.payments import USDC, token_account
from tests.support.dying_worker import approved_order
from tests.support.job_shop import FAST, PRICE, fast_settings
from tests.support.ledger_checks import eventually
from worker.claims.decide import reconcile
from worker.context import open_worker_context
from worker.escrow import move_jobs_and_payouts
from worker.payouts.exports import export_payouts, import_payout


async def pay402(net, database_url, *arguments, code=0, stdin=None, **environment):
    """Run a command as an operator does; what it printed. It has to end with `code`, or anyhow where that is None."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", *arguments,
        env={
            "PATH": os.environ["PATH"], "DATABASE_URL": database_url, "SOLANA_RPC_URL": net.rpc_url,
            **{name: str(value) for name, value in FAST.items()}, **environment,
        },
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate(stdin)
    assert code in {process.returncode, None}, err.decode()
    return out.decode() if process.returncode == 0 else err.decode()


@pytest.fixture
async def keyless(shop, net, database_url):
    """A worker without the settlement key."""
    async with open_worker_context(fast_settings(), database_url, [net.rpc_url]) as opened:
        yield opened


async def test_an_operator_signs_elsewhere(shop, indexer, keyless, net, database_url):
    order = await approved_order(shop, keyless)
    await move_jobs_and_payouts(keyless)
    listed = json.loads(await pay402(net, database_url, "payouts", "list", "--json"))
    assert [(row["status"], row["amount"]) for row in listed] == [("awaiting_signature", PRICE)]

    async def exported():
        # On a slow machine the blockhash dies while commands run. Then there is nothing to sign until it is proved that
        # the last export never landed.
        await move_jobs_and_payouts(keyless)
        return json.loads(await pay402(net, database_url, "payouts", "export")).get("transaction")

    async def exported_twice():
        first = await exported()
        again = json.loads(await pay402(net, database_url, "payouts", "export", "--json")).get("transaction")
        assert again in {first, None}
        return again

    unsigned = Transaction.from_bytes(base64.b64decode(await eventually(exported_twice, seconds=90)))

    stranger = Keypair()
    altered = bytearray(bytes(unsigned))
    altered[-1] ^= 1
    for wrong in (bytes(unsigned), bytes(altered), b"nonsense"):
        text = base64.b64encode(wrong).decode()
        assert "refused" in await pay402(net, database_url, "payouts", "import", text, code=1)
    assert stranger.pubkey() != shop.wallet.pubkey()

    async def sign_and_import():
        if (found := await exported()) is None:
            return None
        message = Transaction.from_bytes(base64.b64decode(found)).message
        text = base64.b64encode(bytes(Transaction([shop.wallet], message, message.recent_blockhash)))
        reported = await pay402(net, database_url, "payouts", "import", "--json", stdin=text, code=None)
        if "has expired" in reported:
            return None
        assert json.loads(reported)["payout"] == listed[0]["id"]
        return text.decode()

    text = await eventually(sign_and_import, seconds=90)
    assert "refused" in await pay402(net, database_url, "payouts", "import", text, code=1)

    async def released():
        await move_jobs_and_payouts(keyless)
        if (await order.row())["escrow_status"] == "released":
            return True
        (row,) = json.loads(await pay402(net, database_url, "payouts", "list", "--json"))
        if row["status"] == "awaiting_signature":
            # It died before it landed: the operator signs anew.
            await sign_and_import()
        return False

    await eventually(released, seconds=90)
    assert await shop.balance(shop.provider.pubkey()) == PRICE
    assert await shop.violations() == []


async def test_an_operator_broadcasts_elsewhere(shop, indexer, keyless, net):
    """The ledger sees it land, whoever sent it."""
    order = await approved_order(shop, keyless)
    await move_jobs_and_payouts(keyless)
    (exported,) = await export_payouts(keyless)
    unsigned = Transaction.from_bytes(base64.b64decode(exported.transaction))
    signed = Transaction([shop.wallet], unsigned.message, unsigned.message.recent_blockhash)
    await shop.call(
        "sendTransaction",
        base64.b64encode(bytes(signed)).decode(),
        {"encoding": "base64", "preflightCommitment": "confirmed"},
    )

    async def released():
        await move_jobs_and_payouts(keyless)
        return (await order.row())["escrow_status"] == "released"

    await eventually(released)
    assert await export_payouts(keyless) == []


async def test_a_new_export_only_when_the_last_can_never_land(shop, indexer, keyless, net):
    order = await approved_order(shop, keyless)
    await move_jobs_and_payouts(keyless)
    (exported,) = await export_payouts(keyless)
    net.chain.tick(160)
    (refused,) = await export_payouts(keyless)
    assert refused.transaction is None
    assert "never landed" in refused.waits_for

    async def fresh():
        await move_jobs_and_payouts(keyless)
        (again,) = await export_payouts(keyless)
        return again.transaction

    transaction = await eventually(fresh, seconds=30)
    assert transaction != exported.transaction
    unsigned = Transaction.from_bytes(base64.b64decode(exported.transaction))
    late = Transaction([shop.wallet], unsigned.message, unsigned.message.recent_blockhash)
    assert (await import_payout(keyless, base64.b64encode(bytes(late)).decode())).refusal
    assert (await order.row())["escrow_status"] == "escrowed"


async def test_the_report_names_what_does_not_match(shop, indexer, context, net, database_url):
    order = await shop.order()
    await order.pay(PRICE - 1)
    await order.pay(PRICE)
    await shop.call("localnet_fundToken", str(shop.client.pubkey()), str(USDC), 0)
    await eventually(lambda: shop.pool.fetchval("SELECT count(*) = 2 FROM transfers WHERE finality = 'finalized'"))
    await reconcile(context)
    report = json.loads(await pay402(net, database_url, "reconcile", "--format", "json"))
    assert json.loads(await pay402(net, database_url, "reconcile", "--json"))["counts"] == report["counts"]
    assert "--format csv" in await pay402(net, database_url, "reconcile", "--json", "--format", "csv", code=1)
    assert report["counts"]["shortPayment"] == 1
    assert report["counts"]["duplicatePayment"] == 1
    assert report["counts"]["unmatchedTransfer"] >= 1
    for row in report["byMint"]:
        assert int(row["receivedBaseUnits"]) == int(row["matchedBaseUnits"]) + int(row["unmatchedBaseUnits"])
    total = await shop.pool.fetchval(
        "SELECT sum(amount - fee) FROM transfers WHERE destination_owner = $1 AND mint = $2",
        str(shop.wallet.pubkey()),
        str(USDC),
    )
    (usdc,) = [row for row in report["byMint"] if row["symbol"] == "USDC"]
    assert int(usdc["receivedBaseUnits"]) == total
    table = await pay402(net, database_url, "reconcile")
    assert "shortPayment: 1" in table
    rows = list(csv.DictReader(io.StringIO(await pay402(net, database_url, "reconcile", "--format", "csv"))))
    assert {row["kind"] for row in rows} >= {"shortPayment", "duplicatePayment", "unmatchedTransfer"}
    short = next(row for row in rows if row["kind"] == "shortPayment")
    moment = dt.datetime.fromtimestamp(int(short["at"]) / 1000, dt.UTC)
    for word in (short["payer"], short["signature"], short["userId"], f"{moment:%Y-%m-%d %H:%M:%S}"):
        assert word in table


async def test_what_a_script_wants_to_know_is_printed_as_json(shop, net, database_url):
    wallet = str(shop.wallet.pubkey())
    seeded = json.loads(await pay402(net, database_url, "seed", "--json", SETTLEMENT_WALLET=wallet))
    assert seeded["added"] > 3
    assert json.loads(await pay402(net, database_url, "seed", "--json", SETTLEMENT_WALLET=wallet)) == {"added": 0}
    assert json.loads(await pay402(net, database_url, "payouts", "retry", "--json")) == {"retried": 0}


@pytest.mark.parametrize("command", ["expire", "settle"])
async def test_a_pass_by_hand(shop, net, database_url, command):
    counts = json.loads(await pay402(net, database_url, command, "--json"))
    assert counts
    assert all(isinstance(value, int) for value in counts.values())
    assert await pay402(net, database_url, command)


async def test_an_operator_sends_a_payout_that_waits_elsewhere(shop, indexer, context, net, database_url):
    provider, mint = str(shop.provider.pubkey()), str(USDC)
    order = await shop.order(payout_address=mint)
    await order.pay()

    async def passed(escrow):
        await reconcile(context)
        await move_jobs_and_payouts(context)
        return (await order.row())["escrow_status"] == escrow

    await eventually(lambda: passed("escrowed"))
    for step in ("accept", "submit", "approve"):
        assert await order.step(step)

    async def waiting():
        await move_jobs_and_payouts(context)
        return await shop.pool.fetchval("SELECT id FROM payouts WHERE waiting_reason = 'destination_unusable'")

    payout = str(await eventually(waiting))

    async def refused(to, *, about=payout):
        return await pay402(net, database_url, "payouts", "redirect", about, "--to", to, code=1)

    assert "token account" in await refused(str(token_account(shop.provider.pubkey(), USDC)))
    assert "already" in await refused(mint)
    assert "no payout" in await refused(provider, about=str(order.id))
    assert "incinerator" in await refused("1nc1nerator11111111111111111111111111111111")
    assert await shop.pool.fetchval("SELECT count(*) FROM payout_redirects") == 0

    reported = await pay402(net, database_url, "payouts", "redirect", payout, "--to", provider, "--json")
    assert json.loads(reported) == {"payout": payout, "recipient": provider}
    await eventually(lambda: passed("released"), seconds=60)
    assert await shop.balance(shop.provider.pubkey()) == PRICE
    assert "settled" in await refused(str(shop.client.pubkey()))
    events = await shop.pool.fetch(
        "SELECT type, user_id, data FROM events WHERE type LIKE 'payout.redirect%' ORDER BY id"
    )
    assert [event["type"] for event in events] == ["payout.redirect_asked", "payout.redirected"]
    assert events[0]["user_id"] == events[1]["data"]["by"] == "operator"
    assert await shop.violations() == []
