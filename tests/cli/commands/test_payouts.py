"""`pay402 payouts` and `pay402 doctor` where a payout was paid by hand, and an export of it can pay it again."""

import json

import pytest
from solders.keypair import Keypair

from ledger.recipients import register_wallet
from tests.support.command_line import pay402
from tests.support.funded_jobs import ordered_job, paid_by_hand, waiting_payout

ACCOUNT = str(Keypair.from_seed(bytes([9]) * 32).pubkey())


@pytest.fixture
def variables(database_url, redis_url, net):
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SOLANA_RPC_URL": net.rpc_url}


@pytest.fixture
async def payout(pool):
    wallet = str(Keypair().pubkey())
    await register_wallet(pool, address=wallet, user_id="operations", label=None, followed_from_slot=0)
    return await waiting_payout(pool, await ordered_job(pool, wallet))


async def exports_seen_by_doctor(home, variables):
    done = await pay402("doctor", "--json", home=home, **variables)
    return [one for one in json.loads(done.out)["findings"] if one["part"] == "payouts"]


async def test_whoever_lists_or_examines_payouts_is_warned(home, variables, payout, pool):
    assert await exports_seen_by_doctor(home, variables) == []
    assert (await pay402("payouts", "list", home=home, **variables)).err == ""
    await paid_by_hand(pool, payout, ACCOUNT)
    (found,) = await exports_seen_by_doctor(home, variables)
    assert found["verdict"] == "warning"
    assert str(payout) in found["detail"]
    assert f"pay402 payouts nonce void {ACCOUNT}" in found["remedy"]
    for command in (("list",), ("retry",)):
        done = await pay402("payouts", *command, home=home, **variables)
        assert done.code == 0
        assert str(payout) in done.err
        assert f"nonce void {ACCOUNT}" in done.err
    # Once nothing of it can land, nothing is to be said.
    await pool.execute("UPDATE payout_attempts SET dead_from_slot = 9")
    assert await exports_seen_by_doctor(home, variables) == []
    assert (await pay402("payouts", "list", home=home, **variables)).err == ""


async def test_what_is_exported_is_said_before_it_is_paid_otherwise(home, variables, payout, pool, net):
    paid = await paid_by_hand(pool, payout, ACCOUNT)
    await pool.execute("DELETE FROM transfers WHERE signature = $1", paid)
    listed = await pay402("payouts", "list", home=home, **variables)
    assert listed.err == ""
    assert f"exported under {ACCOUNT}: void that before you pay it otherwise" in " ".join(listed.out.split())
    done = await pay402("payouts", "redirect", payout, "--to", Keypair().pubkey(), home=home, **variables)
    assert done.code == 0, done.err
    assert f"nonce void {ACCOUNT}" in done.err
