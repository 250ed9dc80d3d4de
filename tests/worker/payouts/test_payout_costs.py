"""What goes out never costs the settlement wallet more than came in, however often a stranger tries."""

from dataclasses import replace

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from spl.token import instructions as spl
from spl.token.models import AuthorityType, CloseAccountParams, SetAuthorityParams, TransferCheckedParams

from chain.instructions import with_references
from chain.node import Node
from chain.programs import TOKEN_PROGRAM
from ledger.tokens import NATIVE_SOL
from localnet import payments as pay
from localnet.genesis import FEE_MINT
from localnet.payments import USDC, token_account, withheld_fee
from tests.support.dying_worker import approved_order, attempts, paid_once
from tests.support.job_shop import PRICE, fast_settings, lamports, secret
from tests.support.ledger_checks import eventually
from worker.claims.decide import reconcile
from worker.context import open_worker_context
from worker.escrow import make_payouts, move_jobs_and_payouts
from worker.payouts.checks import NotReadyError, Waiting, ready_payout
from worker.payouts.costs import PayoutPolicy
from worker.payouts.rows import queued_payouts, retry_payouts

SPL = Pubkey.from_string(TOKEN_PROGRAM)
PRICE_OF_ACCOUNT = 1_000_000


async def stranger(shop, amount, mint=USDC):
    """A throw-away owner with money, whom nobody knows."""
    owner = Keypair()
    await shop.call("requestAirdrop", str(owner.pubkey()), 1_000_000_000)
    await shop.call("localnet_fundToken", str(owner.pubkey()), str(mint), amount)
    await shop.call("localnet_fundToken", str(shop.wallet.pubkey()), str(mint), 0)
    return owner


async def pay_and_close(shop, order, owner, amount):
    """Pay a job too little by its public reference, and take the rent of the account home."""
    account = token_account(owner.pubkey(), USDC)
    closing = spl.close_account(
        CloseAccountParams(program_id=SPL, account=account, dest=owner.pubkey(), owner=owner.pubkey())
    )
    payment = pay.checked(owner.pubkey(), shop.wallet.pubkey(), amount, order.reference, "job")
    return await shop.send([*payment.instructions, closing], owner)


async def passes(shop, context, until):
    async def done():
        await reconcile(context)
        await move_jobs_and_payouts(context)
        return await until()

    return await eventually(done, seconds=60)


async def payout(shop):
    return await shop.pool.fetchrow(
        "SELECT status::text, waiting_reason, amount, charged, rent_lamports, kind, settled_signature FROM payouts"
    )


def is_at(shop, status, reason=None):
    async def there():
        row = await payout(shop)
        return row if row and (row["status"], row["waiting_reason"]) == (status, reason) else None

    return there


async def test_a_unit_from_a_throw_away_owner_costs_us_nothing(shop, indexer, context):
    order, owner = await shop.order(), await stranger(shop, 1)
    before = await lamports(shop)
    await pay_and_close(shop, order, owner, 1)
    await passes(shop, context, is_at(shop, "waiting", "below_cost"))
    # Asked for, it still opens no account at our cost.
    await retry_payouts(shop.pool, ())
    await passes(shop, context, is_at(shop, "waiting", "no_account"))
    assert await lamports(shop) == before
    assert await shop.pool.fetchval("SELECT count(*) FROM payout_attempts") == 0
    assert await shop.violations() == []


async def test_an_account_that_has_to_be_opened_is_paid_for_by_the_money(shop, indexer, context):
    order, owner = await shop.order(), await stranger(shop, 3_000_000)
    before, held = await lamports(shop), await shop.balance(shop.wallet.pubkey())
    await pay_and_close(shop, order, owner, 3_000_000)
    row = await passes(shop, context, is_at(shop, "settled"))
    assert (row["amount"], row["charged"]) == (3_000_000, PRICE_OF_ACCOUNT)
    assert await shop.balance(owner.pubkey()) == 3_000_000 - PRICE_OF_ACCOUNT
    assert await shop.balance(shop.wallet.pubkey()) == held + PRICE_OF_ACCOUNT
    # To the lamport: the fee of one signature, and a rent that was taken from the money.
    assert before - await lamports(shop) == 5_000 + row["rent_lamports"]
    assert row["rent_lamports"] > 0
    assert await shop.violations() == []


async def test_it_waits_until_its_owner_has_an_account(shop, indexer, context):
    order, owner = await shop.order(), await stranger(shop, 500_000)
    await pay_and_close(shop, order, owner, 500_000)
    await passes(shop, context, is_at(shop, "waiting", "no_account"))
    await shop.call("localnet_fundToken", str(owner.pubkey()), str(USDC), 0)
    row = await passes(shop, context, is_at(shop, "settled"))
    assert (row["charged"], row["rent_lamports"]) == (0, 0)
    assert await shop.balance(owner.pubkey()) == 500_000


async def test_what_goes_back_goes_to_the_account_it_came_from(shop, indexer, context):
    """Not to the associated one, which may not exist."""
    order, owner, account = await shop.order(), Keypair(), Keypair()
    await shop.call("requestAirdrop", str(owner.pubkey()), 1_000_000_000)
    opening = pay.hidden_account(owner.pubkey(), owner.pubkey(), account)
    await shop.send(opening.instructions, owner, account)
    filling = pay.to_account(shop.client.pubkey(), account.pubkey(), 200_000)
    await shop.send(filling.instructions, shop.client)
    move = spl.transfer_checked(
        TransferCheckedParams(
            program_id=SPL, source=account.pubkey(), mint=USDC, dest=token_account(shop.wallet.pubkey(), USDC),
            owner=owner.pubkey(), amount=200_000, decimals=6,
        )
    )  # fmt: skip
    await shop.send([with_references(move, [order.reference])], owner)
    row = await passes(shop, context, is_at(shop, "settled"))
    assert (row["charged"], row["rent_lamports"]) == (0, 0)
    assert await shop.pool.fetchval(
        "SELECT destination FROM transfers WHERE signature = $1", row["settled_signature"]
    ) == str(account.pubkey())


async def test_a_token_with_a_fee_goes_back_out_of_what_it_brought(shop, indexer, context):
    """Worth nothing to anybody, it waits for its owner to ask; then it goes back less what the token keeps."""
    order, owner = await shop.order(), await stranger(shop, 10_000_000, FEE_MINT)
    # Somebody else's money of the same token must not be touched.
    await shop.call("localnet_fundToken", str(shop.wallet.pubkey()), str(FEE_MINT), 50_000_000)
    payment = pay.checked(owner.pubkey(), shop.wallet.pubkey(), 10_000_000, order.reference, "job", mint=FEE_MINT)
    await shop.send(payment.instructions, owner)
    received = 10_000_000 - withheld_fee(10_000_000)
    await passes(shop, context, is_at(shop, "waiting", "below_cost"))
    await retry_payouts(shop.pool, ())
    row = await passes(shop, context, is_at(shop, "settled"))
    assert row["amount"] == received
    assert await shop.balance(owner.pubkey(), FEE_MINT) == received - withheld_fee(received)
    assert await shop.balance(shop.wallet.pubkey(), FEE_MINT) == 50_000_000
    assert await shop.violations() == []


async def test_a_refund_of_sol_bears_its_own_fee(shop, indexer, context):
    order = await shop.order(price=2_000_000_000, mint=NATIVE_SOL)
    before = await lamports(shop)
    payment = pay.native_sol(shop.client.pubkey(), shop.wallet.pubkey(), 1_000_000)
    await shop.send([with_references(payment.instructions[0], [order.reference])], shop.client)
    row = await passes(shop, context, is_at(shop, "settled"))
    assert (row["amount"], row["charged"]) == (1_000_000, 5_000)
    assert await lamports(shop) == before
    assert await shop.violations() == []


async def test_a_wallet_is_sent_so_many_refunds_a_day(shop, indexer, net, database_url):
    settings = fast_settings(SETTLEMENT_KEYPAIR=secret(shop.wallet), WORKER_REFUNDS_PER_PAYER=1)
    async with open_worker_context(settings, database_url, [net.rpc_url]) as context:
        order = await shop.order()
        for amount in (100_000, 100_001):
            await order.pay(amount)

        async def one_of_two():
            rows = await shop.pool.fetch("SELECT status::text, waiting_reason FROM payouts")
            return sorted((row["status"], row["waiting_reason"] or "") for row in rows)

        both = [("settled", ""), ("waiting", "payer_budget")]

        async def are_both():
            return await one_of_two() == both

        await passes(shop, context, are_both)
        await retry_payouts(shop.pool, ())

        async def all_settled():
            return [status for status, _ in await one_of_two()] == ["settled", "settled"]

        await passes(shop, context, all_settled)


async def test_a_provider_without_an_account_pays_for_it_with_its_first_release(shop, indexer, context, net):
    """Otherwise whoever is client and provider has an account opened at our cost again and again."""
    shop.provider = Keypair()
    before = await lamports(shop)
    await approved_order(shop, context)
    row = await passes(shop, context, is_at(shop, "settled"))
    assert (row["kind"], row["charged"]) == ("release", PRICE_OF_ACCOUNT)
    assert await shop.balance(shop.provider.pubkey()) == PRICE - PRICE_OF_ACCOUNT
    assert before - await lamports(shop) == 5_000 + row["rent_lamports"]
    assert await shop.violations() == []


async def test_an_account_that_was_handed_over_is_not_paid_and_not_signed_for_ever(shop, indexer, context, net):
    """A poison payout: its destination belongs to somebody else by now."""
    thief = Keypair()
    await shop.call("requestAirdrop", str(shop.provider.pubkey()), 1_000_000_000)
    account = token_account(shop.provider.pubkey(), USDC)
    handing_over = spl.set_authority(
        SetAuthorityParams(
            program_id=SPL, account=account, authority=AuthorityType.ACCOUNT_OWNER,
            current_authority=shop.provider.pubkey(), new_authority=thief.pubkey(),
        )
    )  # fmt: skip
    await shop.send([handing_over], shop.provider)
    await eventually(lambda: _is_handed_over(shop, account, thief))
    await approved_order(shop, context)
    await passes(shop, context, is_at(shop, "waiting", "destination_unusable"))
    assert await shop.pool.fetchval("SELECT count(*) FROM payout_attempts") == 0
    assert await shop.balance(thief.pubkey()) == 0


@pytest.mark.parametrize("is_lost_again", [False, True])
async def test_what_went_to_the_wallet_that_pays_ends_and_goes_elsewhere(shop, indexer, context, net, is_lost_again):
    """As a version left it in flight that sent such payouts."""
    order = await approved_order(shop, context)
    net.set_faults({"transactionsLost": 1})
    await move_jobs_and_payouts(context)
    (before,) = await attempts(order)
    assert before["outcome"] is None
    net.set_faults(None)
    wallet, reference = shop.wallet.pubkey(), await shop.pool.fetchval("SELECT reference FROM payouts")
    signature = await shop.send(
        pay.checked(wallet, wallet, PRICE, Pubkey.from_string(reference), "payout").instructions, shop.wallet
    )
    await shop.pool.execute("UPDATE payouts SET recipient = wallet")
    await shop.pool.execute("UPDATE payout_attempts SET signature = $1", signature)
    net.chain.tick(200)
    await passes(shop, context, is_at(shop, "waiting", "destination_unusable"))
    (ended,) = await attempts(order)
    assert (ended["outcome"], ended["error"]) == ("failed", "it moved nothing")
    await shop.pool.execute("UPDATE payouts SET recipient = $1", str(shop.provider.pubkey()))
    if is_lost_again:
        # What is on chain with its reference is no sign that this attempt has landed.
        net.set_faults({"transactionsLost": 1})
        await retry_payouts(shop.pool, ())
        await move_jobs_and_payouts(context)
        assert [row["outcome"] for row in await attempts(order)] == ["failed", None]
        net.chain.tick(400)
        net.set_faults(None)
    await retry_payouts(shop.pool, ())
    await passes(shop, context, is_at(shop, "settled"))
    assert [row["outcome"] for row in await attempts(order)][1:] == ["expired"] * is_lost_again + ["settled"]
    await paid_once(shop)


async def _is_handed_over(shop, account, thief):
    _, state = await Node(shop.rpc).account(str(account))
    return state is not None and state.token_owner == str(thief.pubkey())


def off_curve():
    return Pubkey.find_program_address([b"nobody"], SPL)[0]


NOBODY_SIGNS = {
    "an address of a program, unmade": off_curve,
    "the token program": lambda: SPL,
    "the system program": lambda: Pubkey.from_string("11111111111111111111111111111111"),
    "the incinerator": lambda: Pubkey.from_string("1nc1nerator11111111111111111111111111111111"),
    "a mint": lambda: USDC,
    "the clock": lambda: Pubkey.from_string("SysvarC1ock11111111111111111111111111111111"),
}


@pytest.mark.parametrize("whom", NOBODY_SIGNS)
@pytest.mark.parametrize("mint", [str(USDC), NATIVE_SOL])
async def test_nothing_is_sent_to_what_nobody_can_sign_for(shop, indexer, context, whom, mint):
    await approved_order(shop, context)
    await settle_making_only(context)
    policy = PayoutPolicy.of(context.settings)
    (queued,) = await queued_payouts(shop.pool, policy.gifts, limit=10)
    wanted = replace(queued, recipient=str(NOBODY_SIGNS[whom]()), mint=mint)
    with pytest.raises(NotReadyError) as refused:
        await ready_payout(context.node, wanted, policy)
    assert refused.value.reason is Waiting.DESTINATION_UNUSABLE
    await shop.pool.execute("DELETE FROM payouts")


async def settle_making_only(context):
    assert await make_payouts(context) == 1


async def test_a_release_by_the_rules_costs_its_fee_alone(shop, indexer, context):
    before = await lamports(shop)
    await approved_order(shop, context)
    await passes(shop, context, is_at(shop, "settled"))
    await paid_once(shop)
    assert before - await lamports(shop) == 5_000
