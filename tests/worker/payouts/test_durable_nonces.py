"""Payouts that are signed elsewhere, days after they were exported: paid once, whatever becomes of the nonce."""

import asyncio
import base64
import contextlib
import json

import asyncpg
import pytest
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import (
    AuthorizeNonceAccountParams,
    WithdrawNonceAccountParams,
    authorize_nonce_account,
    withdraw_nonce_account,
)
from solders.transaction import Transaction

from localnet import Localnet
from tests.support.durable_nonces import exported, open_nonce, outcomes, passes, send, signed, void
from tests.support.dying_worker import KilledError, approved_order, dying_at, paid_once, work_on
from tests.support.job_shop import fast_settings
from tests.support.ledger_checks import eventually
from worker.context import open_worker_context
from worker.escrow import move_jobs_and_payouts
from worker.payouts.crash_points import ELSEWHERE_STEPS, watch_steps
from worker.payouts.exports import export_payouts, import_payout, void_nonce
from worker.payouts.nonces import NonceUnusableError, advanced_slots, nonce_to_live_by
from worker.payouts.offline_signer import sign_void

DAYS = 400
"""Blocks, after which every blockhash of before is dead: an hour or a month is the same to a nonce."""


async def ended(context, order):
    async def has_ended():
        await move_jobs_and_payouts(context)
        return None not in await outcomes(order)

    await eventually(has_ended, seconds=30)


async def test_a_signature_may_take_days(shop, keyless, net):
    order = await approved_order(shop, keyless)
    account = await open_nonce(shop, net)
    one = await exported(keyless, account)
    assert (one.nonce_account, one.last_valid_block_height) == (account, None)
    net.chain.tick(DAYS)
    await passes(keyless, net)
    # Nobody has advanced it: it still can land, so there is no other, whatever is asked for.
    assert await export_payouts(keyless) == [one]
    assert await export_payouts(keyless, nonce_accounts=[await open_nonce(shop, net)]) == [one]
    imported = await import_payout(keyless, signed(shop, one))
    assert (imported.payout, imported.refusal) == (one.payout, None)
    await work_on(keyless, order, net)
    await paid_once(shop)
    assert await outcomes(order) == ["settled"]
    # The account serves the next one.
    order = await approved_order(shop, keyless)
    await import_payout(keyless, signed(shop, await exported(keyless, account)))
    await work_on(keyless, order, net)
    await paid_once(shop, times=2)


async def test_a_signed_one_that_nodes_lose_is_sent_again_for_days_and_never_signed_anew(shop, keyless, net):
    order = await approved_order(shop, keyless)
    one = await exported(keyless, await open_nonce(shop, net))
    net.set_faults({"transactionsLost": 1})
    await import_payout(keyless, signed(shop, one))
    await passes(keyless, net)
    net.chain.tick(DAYS)
    await passes(keyless, net)
    assert await outcomes(order) == [None]
    net.set_faults(None)
    await work_on(keyless, order, net)
    await paid_once(shop)
    assert await outcomes(order) == ["settled"]


async def test_an_export_that_was_abandoned_is_voided_and_can_never_land(shop, keyless, net):
    order = await approved_order(shop, keyless)
    account = await open_nonce(shop, net)
    first = await exported(keyless, account)
    late = signed(shop, first)
    voided = await void(keyless, shop, account)
    assert (voided.payout, voided.refusal) == (None, None)
    net.chain.tick(20)
    assert (await export_payouts(keyless))[0].waits_for == "proof that the last export never landed"
    await ended(keyless, order)
    second = await exported(keyless, account)
    assert second.transaction != first.transaction
    # Whoever kept the old one signs and sends it in vain, by us or past us.
    assert (await import_payout(keyless, late)).refusal
    await send(shop, Transaction.from_bytes(base64.b64decode(late)))
    await import_payout(keyless, signed(shop, second))
    await work_on(keyless, order, net)
    await paid_once(shop)
    assert await outcomes(order) == ["expired", "settled"]
    await send(shop, Transaction.from_bytes(base64.b64decode(late)))
    await passes(keyless, net)
    await paid_once(shop)


async def test_of_a_payout_and_what_voids_it_one_lands(shop, keyless, net):
    order = await approved_order(shop, keyless)
    account = await open_nonce(shop, net)
    one = await exported(keyless, account)
    wallet, transaction = await void_nonce(keyless, account)
    line = json.dumps({"void": account, "wallet": wallet, "transaction": transaction})
    voiding = sign_void(line, shop.wallet).transaction
    await import_payout(keyless, signed(shop, one))
    await work_on(keyless, order, net)
    assert (await import_payout(keyless, voiding)).refusal
    await paid_once(shop)


async def test_a_nonce_serves_one_payout(shop, keyless, net):
    orders = [await approved_order(shop, keyless) for _ in range(2)]
    account = await open_nonce(shop, net)
    await move_jobs_and_payouts(keyless)
    first, second = await export_payouts(keyless, nonce_accounts=[account, account])
    assert (first.nonce_account, second.transaction) == (account, None)
    assert second.waits_for == "a nonce account of its own"
    # Two operators at once, with the same account for the second.
    again = await asyncio.gather(*(export_payouts(keyless, nonce_accounts=[account]) for _ in range(3)))
    assert {tuple(one.transaction for one in lines) for lines in again} == {(first.transaction, None)}
    other = await open_nonce(shop, net)
    _, second = await export_payouts(keyless, nonce_accounts=[account, other])
    assert second.nonce_account == other
    # Whatever else writes: the database holds it too.
    with pytest.raises(asyncpg.UniqueViolationError):
        await shop.pool.execute(
            "UPDATE payout_attempts SET (nonce_account, nonce_value)"
            " = (SELECT nonce_account, nonce_value FROM payout_attempts WHERE nonce_account = $1)", account
        )  # fmt: skip
    for one in (first, second):
        await import_payout(keyless, signed(shop, one))
    for order in orders:
        await work_on(keyless, order, net)
    await paid_once(shop, times=2)


async def test_two_exports_at_once_do_not_share_a_nonce(shop, keyless, net):
    orders = [await approved_order(shop, keyless) for _ in range(2)]
    account = await open_nonce(shop, net)
    await move_jobs_and_payouts(keyless)
    payouts = [row["id"] for row in await shop.pool.fetch("SELECT id FROM payouts ORDER BY created_at")]
    lines = await asyncio.gather(*(export_payouts(keyless, [one], nonce_accounts=[account]) for one in payouts))
    assert sum(one.transaction is not None for (one,) in lines) == 1
    assert sum("which may be in use" in (one.waits_for or "") for (one,) in lines) == 1
    assert len([await order.row() for order in orders]) == 2


async def authorize(shop, account, by, to):
    params = AuthorizeNonceAccountParams(
        nonce_pubkey=Pubkey.from_string(account), authorized_pubkey=by.pubkey(), new_authority=to.pubkey()
    )
    await shop.send([authorize_nonce_account(params)], by)


async def test_an_authority_that_was_changed_decides_nothing_for_it_may_be_changed_back(shop, keyless, net):
    order = await approved_order(shop, keyless)
    account, heir = await open_nonce(shop, net), Keypair()
    await shop.call("requestAirdrop", str(heir.pubkey()), 1_000_000_000)
    one = await exported(keyless, account)
    await authorize(shop, account, shop.wallet, heir)
    await import_payout(keyless, signed(shop, one))
    await passes(keyless, net)
    assert await outcomes(order) == [None]
    net.chain.tick(10)
    await authorize(shop, account, heir, shop.wallet)
    await work_on(keyless, order, net)
    await paid_once(shop)
    assert await outcomes(order) == ["settled"]


async def test_a_closed_account_decides_and_the_payout_goes_another_way(shop, keyless, net):
    order = await approved_order(shop, keyless)
    account = await open_nonce(shop, net)
    late = signed(shop, await exported(keyless, account))
    close = WithdrawNonceAccountParams(
        nonce_pubkey=Pubkey.from_string(account),
        authorized_pubkey=shop.wallet.pubkey(),
        to_pubkey=shop.wallet.pubkey(),
        lamports=net.chain.account(Pubkey.from_string(account)).lamports,
    )
    await shop.send([withdraw_nonce_account(close)], shop.wallet)
    net.chain.tick(20)
    await ended(keyless, order)
    (refused,) = await export_payouts(keyless, nonce_accounts=[account])
    assert "it is no nonce account" in refused.waits_for
    (one,) = await export_payouts(keyless)
    await import_payout(keyless, signed(shop, one))
    await work_on(keyless, order, net)
    await paid_once(shop)
    assert (await import_payout(keyless, late)).refusal


async def test_a_nonce_of_somebody_else_is_not_exported_under(shop, keyless, net):
    await approved_order(shop, keyless)
    account = await open_nonce(shop, net, authority=Keypair().pubkey())
    refused = await exported(keyless, account)
    assert refused.transaction is None
    assert "its authority is" in refused.waits_for


async def test_one_node_that_lies_about_a_nonce_decides_nothing(shop, keyless, net, database_url):
    """The liar is a node of another cluster: for it the account was closed, or never was."""
    order = await approved_order(shop, keyless)
    account = await open_nonce(shop, net)
    one = await exported(keyless, account)
    nonce = await nonce_to_live_by(keyless, account, one.wallet)
    async with Localnet.start(slot_seconds=0.05, finalize_slots=8) as liar:
        liar.chain.tick(net.chain.open.slot + 1_000)
        for urls in ([liar.rpc_url, net.rpc_url], [net.rpc_url, liar.rpc_url]):
            async with open_worker_context(fast_settings(), database_url, urls) as context:
                net.chain.tick(20)
                assert await advanced_slots(context, [nonce]) == {}
                with pytest.raises(NonceUnusableError, match="do not agree"):
                    await nonce_to_live_by(context, account, one.wallet)
        # The liar alone is not enough either, while the other node is away.
        async with open_worker_context(fast_settings(), database_url, [liar.rpc_url, "http://127.0.0.1:9"]) as context:
            assert await advanced_slots(context, [nonce]) == {}
    await import_payout(keyless, signed(shop, one))
    await work_on(keyless, order, net)
    await paid_once(shop)


async def test_a_node_that_is_behind_does_not_show_a_nonce_as_advanced(shop, keyless, net, database_url):
    """It still has the value before: unequal to the one that an export was given, and older than it."""
    order = await approved_order(shop, keyless)
    account = await open_nonce(shop, net)
    net.chain.tick(40)
    await void(keyless, shop, account)
    net.chain.tick(12)
    one = await exported(keyless, account)
    nonce = await nonce_to_live_by(keyless, account, one.wallet)
    async with Localnet.start(chain=net.chain) as behind:
        behind.set_faults({"nodeBehindSlots": 30})
        async with open_worker_context(fast_settings(), database_url, [behind.rpc_url]) as context:
            (before,) = (await nonce_values(context, account)).values()
            assert before != nonce.value
            assert await advanced_slots(context, [nonce]) == {}
    await import_payout(keyless, signed(shop, one))
    await work_on(keyless, order, net)
    await paid_once(shop)


async def nonce_values(context, account):
    from worker.payouts.nonces import seen_nonces

    return {one.slot: one.state.value for one in (await seen_nonces(context.node, [account]))[account]}


def freeze(net, address, *, is_frozen):
    """By hand, since the localnet's mints have no freeze authority."""
    account = net.chain.bank.get_account(address)
    data = bytearray(account.data)
    data[108] = 2 if is_frozen else 1
    net.chain.bank.set_account(address, Account(account.lamports, bytes(data), account.owner))


async def test_one_that_fails_on_chain_has_used_its_nonce_and_is_tried_again(shop, keyless, net):
    from localnet.payments import USDC, token_account

    order = await approved_order(shop, keyless)
    account = await open_nonce(shop, net)
    late = signed(shop, await exported(keyless, account))
    source = token_account(shop.wallet.pubkey(), USDC)
    freeze(net, source, is_frozen=True)
    await import_payout(keyless, late)
    await send(shop, Transaction.from_bytes(base64.b64decode(late)))
    net.chain.tick(20)
    await ended(keyless, order)
    assert await outcomes(order) == ["failed"]
    freeze(net, source, is_frozen=False)

    async def can_be_exported():
        await move_jobs_and_payouts(keyless)
        lines = await export_payouts(keyless, nonce_accounts=[account])
        return lines[0] if lines and lines[0].transaction else None

    await import_payout(keyless, signed(shop, await eventually(can_be_exported, seconds=30)))
    await work_on(keyless, order, net)
    await paid_once(shop)
    assert await outcomes(order) == ["failed", "settled"]


POINTS = [f"{side} {step}" for step in ELSEWHERE_STEPS for side in ("before", "after")]
SENDING = [f"{side} {step}" for step in ("settle", "broadcast", "note", "end") for side in ("before", "after")]


@pytest.mark.parametrize("point", POINTS + SENDING)
async def test_whoever_dies_at_any_step_of_a_payout_under_a_nonce(shop, keyless, net, point):
    """The first export is voided, its bytes are kept by somebody; the second is paid. Each step dies once."""
    order = await approved_order(shop, keyless)
    account = await open_nonce(shop, net)
    died = []

    async def dying(work):
        """Try again after a death, as an operator or another worker does."""
        with contextlib.suppress(KilledError), watch_steps(dying_at(point)):
            return await work()
        died.append(point)
        return await work()

    await move_jobs_and_payouts(keyless)
    (first,) = await dying(lambda: export_payouts(keyless, nonce_accounts=[account]))
    late = signed(shop, first)
    await void(keyless, shop, account)
    net.chain.tick(20)

    async def is_exported_anew():
        await dying(lambda: move_jobs_and_payouts(keyless))
        lines = await dying(lambda: export_payouts(keyless, nonce_accounts=[account]))
        return lines[0] if lines and lines[0].transaction not in {None, first.transaction} else None

    second = await eventually(is_exported_anew, seconds=30)
    net.chain.tick(DAYS)
    imported = await dying(lambda: import_payout(keyless, signed(shop, second)))
    # Brought twice it is refused the second time, and taken all the same.
    assert imported.refusal is None or point == "after import"
    await dying(lambda: move_jobs_and_payouts(keyless))
    await send(shop, Transaction.from_bytes(base64.b64decode(late)))
    await work_on(keyless, order, net)
    assert died
    await paid_once(shop)
    assert await outcomes(order) == ["expired", "settled"]
