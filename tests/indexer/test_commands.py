"""`pay402 audit` and `pay402 backfill`, as an operator runs them: in their own processes."""

import asyncio
import datetime as dt
import json
import os
import sys

import pytest
from solders.keypair import Keypair

from indexer.main import running_indexer
from localnet import payments as pay
from tests.support.ledger_checks import (
    balances_agree,
    eventually,
    fast_settings,
    follow,
    ledger_equals_chain,
    ledger_transfers,
)
from tests.support.plain_payments import plain


@pytest.mark.parametrize("code", [32001, 32011])
async def test_history_that_no_node_has_is_reported_in_one_sentence(market, net, pay402, code):
    signature = await market.pay(
        pay.plain(market.payers[0].pubkey(), market.recipients[0].pubkey(), 7), market.payers[0]
    )
    await market.settled()
    net.set_faults({"rpcErrors": {"rate": 1, "amount": code, "methods": ["getTransaction"]}})
    ended, out, err = await pay402("backfill", "--signature", signature)
    assert (ended, out) == (1, "found 1 transactions: 0 new, 0 already known, 1 failed\n")
    (sentence,) = err.splitlines()
    assert sentence.startswith(f"{signature} is not recorded: ")
    assert f"(-{code})" in sentence
    assert sentence.endswith("; ask an archive node.")


@pytest.fixture
def pay402(database_url, net, tmp_path):
    """Run a command of pay402 against the test's database and chain."""

    async def run(*arguments, kill_after=None):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli", *arguments,
            env={
                "PATH": os.environ["PATH"],
                "DATABASE_URL": database_url,
                "SOLANA_RPC_URL": net.rpc_url,
                "SOLANA_WS_URL": net.ws_url,
                "PAY402_HOME": str(tmp_path),
            },
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        if kill_after is not None:
            await kill_after
            process.kill()
        out, err = await process.communicate()
        assert b"Traceback" not in err, err.decode()
        return process.returncode, out.decode(), err.decode()

    return run


async def final(net):
    slot = net.chain.slot("processed")
    await eventually(lambda: net.chain.slot("finalized") > slot)


async def test_audit_finds_and_heals_what_was_taken_out_of_the_ledger(market, net, database_url, pool, pay402):
    async with running_indexer(fast_settings(), database_url, [net.rpc_url], [net.ws_url]):
        for n in range(4):
            await plain(market, 10 + n)
        await ledger_equals_chain(pool, market)
    await final(net)
    code, out, _ = await pay402("audit", "--json")
    assert (code, json.loads(out)["findings"]) == (0, [])

    victim = market.sent[2].signature
    await pool.execute("DELETE FROM transfers WHERE signature = $1", victim)
    await pool.execute("DELETE FROM balance_changes WHERE signature = $1", victim)
    code, out, _ = await pay402("audit", "--whole", "--json")
    (finding,) = json.loads(out)["findings"]
    assert code == 1
    assert finding["account"] == str(pay.token_account(market.recipients[0].pubkey(), pay.USDC))

    await pool.execute("UPDATE token_accounts SET audited_slot = NULL, audited_balance = NULL")
    code, out, err = await pay402("audit", "--whole", "--heal")
    assert code == 0, out + err
    await ledger_equals_chain(pool, market)
    await balances_agree(pool, net)


async def test_an_audit_by_a_node_that_is_behind_agrees_with_nothing(market, net, pool, database_url, pay402):
    async with running_indexer(fast_settings(), database_url, [net.rpc_url], [net.ws_url]):
        await plain(market, 10)
        await ledger_equals_chain(pool, market)
    await final(net)
    assert (await pay402("audit", "--whole"))[0] == 0
    account = str(pay.token_account(market.recipients[0].pubkey(), pay.USDC))
    ahead = net.chain.slot("finalized") + 120
    await pool.execute("UPDATE token_accounts SET audited_slot = $1 WHERE address = $2", ahead, account)
    code, out, _ = await pay402("audit")
    assert (code, "agree" in out) == (1, False)
    assert out.startswith("1 of 6 accounts are not proven")


async def test_backfill_records_history_once_and_says_what_it_found(market, net, pool, pay402):
    for payment, payer in market.every_kind():
        await market.pay(payment, payer)
    await market.settled()
    await final(net)
    code, out, err = await pay402("backfill", "--from-slot", "0", "--json")
    first = json.loads(out)
    assert (code, first["failed"]) == (0, 0), err
    assert first["new"] > 0
    await ledger_equals_chain(pool, market)
    code, out, _ = await pay402("backfill", "--from-slot", "0", "--json")
    again = json.loads(out)
    assert (code, again["new"], again["known"]) == (0, 0, again["found"])
    await balances_agree(pool, net)


async def test_backfill_takes_single_transactions(market, net, pool, pay402):
    await plain(market, 1)
    await plain(market, 2)
    await market.settled()
    wanted = market.sent[1].signature
    code, out, _ = await pay402("backfill", "--signature", wanted)
    assert (code, out) == (0, "found 1 transactions: 1 new, 0 already known, 0 failed\n")
    assert set(await ledger_transfers(pool, market.wallets)) == {k for k in market.expected() if k[0] == wanted}


async def test_backfill_refuses_what_the_node_has_pruned(market, net, pool, pay402):
    await plain(market, 1)
    await market.settled()
    await eventually(lambda: net.chain.slot("finalized") > 40)
    net.set_faults({"prunedSlots": 10})
    code, _, err = await pay402("backfill", "--from-slot", "5")
    assert code == 1
    assert "Refused: the node serves blocks from slot" in err
    assert await pool.fetchval("SELECT count(*) FROM transfers") == 0


async def test_a_backfill_that_was_killed_is_simply_run_again(market, net, pool, pay402):
    for n in range(60):
        await plain(market, 100 + n)
    await market.settled()
    await final(net)
    net.set_faults({"latencySeconds": {"rate": 1, "amount": 0.02, "methods": ["getTransaction"]}})

    async def some():
        return 0 < await pool.fetchval("SELECT count(*) FROM transfers") < 40

    code, _, _ = await pay402("backfill", "--from-slot", "0", kill_after=eventually(some, pause=0.001))
    assert code == -9
    left = await pool.fetchval("SELECT count(*) FROM transfers")
    net.set_faults(None)
    code, out, err = await pay402("backfill", "--from-slot", "0", "--json")
    assert (code, json.loads(out)["failed"]) == (0, 0), err
    assert 0 < left < len(market.sent)
    assert json.loads(out)["known"] >= left
    await ledger_equals_chain(pool, market)


async def test_the_last_minute_before_until_is_recorded(market, net, pool, pay402):
    """Block times are estimates: the stretch is a minute longer at both ends, not shifted by it."""
    began = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    await plain(market, 1)
    await market.settled()
    await final(net)
    until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    code, _, err = await pay402("backfill", "--since", f"{began:%FT%T}", "--until", f"{until:%FT%T}")
    assert code == 0, err
    await ledger_equals_chain(pool, market)


SIGNATURE = "5" * 87
REFUSED = {
    "reversed slots": (
        ["--from-slot", "9", "--to-slot", "8"],
        "--from-slot 9 is later than --to-slot 8; exchange them.",
    ),
    "reversed times": (
        ["--since", "2024-02-02", "--until", "2024-02-01"],
        "--since is later than --until; exchange them.",
    ),
    "two beginnings": (["--since", "2024-02-02", "--from-slot", "8"], "--from-slot and --since say the same"),
    "two ends": (["--until", "2024-02-02", "--to-slot", "8"], "--to-slot and --until say the same"),
    "the future": (["--since", "2999-01-01"], "--since lies in the future"),
    "no signature": (["--signature", "abc"], "abc is no signature, which is 64 bytes in base58; copy it whole."),
    "a signature and a stretch": (["--signature", SIGNATURE, "--from-slot", "8"], "leave out every other choice"),
    "an end before following began": (["--to-slot", "3"], "before it begins"),
}


@pytest.mark.parametrize(("options", "sentence"), REFUSED.values(), ids=REFUSED)
async def test_a_stretch_that_cannot_be_meant_is_refused_in_one_sentence(net, pool, pay402, options, sentence):
    await eventually(lambda: net.chain.slot("processed") > 50)
    await follow(pool, Keypair().pubkey(), from_slot=50)
    code, out, err = await pay402("backfill", *options)
    assert (code, out, len(err.splitlines())) == (1, "", 1), err
    assert sentence in err
    assert "again" not in err
