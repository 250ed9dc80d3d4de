"""Ten ways to have the fee payer of x402 pay for what is not a payment, each tried on a real chain."""

import asyncio
import base64

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.system_program import TransferParams
from solders.system_program import transfer as transfer_lamports
from spl.token.instructions import create_idempotent_associated_token_account

from indexer.main import running_indexer
from tests.support.api_client import key_for, running_api
from tests.support.ledger_checks import eventually, fast_settings, follow
from tests.support.wallets import USDT, transfer_checked
from tests.support.x402_parties import open_parties
from tests.support.x402_payments import guard

FEE = 10_001
"""Two signatures, and what published clients offer for 20,000 compute units."""
PAYER_BUDGET, MERCHANT_BUDGET = 3 * FEE, 5 * FEE


@pytest.fixture
async def parties(net, pool):
    return await open_parties(net, pool)


@pytest.fixture
async def seller(parties, net, pool, database_url, redis_url):
    """A seller with its key, at a facilitator with small budgets, over a running indexer."""
    settings = {
        **parties.settings, "X402_LAMPORTS_PER_PAYER": PAYER_BUDGET, "X402_LAMPORTS_PER_MERCHANT": MERCHANT_BUDGET,
    }  # fmt: skip
    async with (
        running_indexer(fast_settings(), database_url, [net.rpc_url], [net.ws_url]) as running,
        running_api(database_url, redis_url, [net.rpc_url], **settings) as api,
    ):
        await eventually(lambda: running.feed.watching >= 2)
        yield api.holding(await key_for(pool))


async def held(parties):
    """What the fee payer holds, counting what is not confirmed yet."""
    answer = await parties.call("getBalance", str(parties.fee_payer.pubkey()), {"commitment": "processed"})
    return answer["value"]


async def settled(seller, *purchases):
    replies = await asyncio.gather(*(seller.post("/x402/settle", one.body()) for one in purchases))
    assert all(reply.status == 200 for reply in replies), [reply.text for reply in replies]
    return [reply.body for reply in replies]


async def costs_nothing(seller, parties, *purchases):
    before = await held(parties)
    for answer in await settled(seller, *purchases):
        assert (answer["success"], answer["transaction"]) == (False, ""), answer
    assert await held(parties) == before


async def test_a_drain_by_a_bid_for_block_space(seller, parties):
    await costs_nothing(
        seller, parties, await parties.purchase(price=100_001), await parties.purchase(units=1_400_000, price=0)
    )


async def test_a_drain_by_a_third_signature(seller, parties):
    second = Keypair()
    purchase = await parties.purchase()
    more = transfer_lamports(TransferParams(from_pubkey=second.pubkey(), to_pubkey=second.pubkey(), lamports=0))
    await costs_nothing(seller, parties, purchase.with_more(more).but(signers=(second,)))


async def test_a_drain_by_a_transfer_of_the_fee_payers_own_tokens(seller, parties):
    fee_payer = parties.fee_payer.pubkey()
    await parties.fund(fee_payer, 10_000)
    purchase = await parties.purchase()
    source = purchase.transfer.accounts[0].pubkey
    own = transfer_checked(source, purchase.mint, purchase.transfer.accounts[2].pubkey, fee_payer, purchase.amount)
    await costs_nothing(seller, parties, purchase.placed(2, own))


async def test_a_drain_by_an_instruction_that_names_the_fee_payer(seller, parties):
    fee_payer = parties.fee_payer.pubkey()
    steal = transfer_lamports(
        TransferParams(from_pubkey=fee_payer, to_pubkey=parties.buyer.pubkey(), lamports=1_000_000)
    )
    purchase = await parties.purchase()
    await costs_nothing(seller, parties, purchase.with_more(steal), purchase.placed(3, steal))


async def test_a_drain_by_rent_of_token_accounts(seller, parties):
    """Sponsored accounts are closed by their owners, who keep the rent."""
    fee_payer = parties.fee_payer.pubkey()
    await parties.fund(parties.buyer.pubkey(), 10_000, USDT)
    purchase = await parties.purchase(mint=USDT)
    opening = create_idempotent_associated_token_account(fee_payer, parties.shop, USDT)
    await costs_nothing(seller, parties, purchase, purchase.with_more(opening), purchase.placed(2, opening))


async def test_a_drain_by_a_guard_that_writes_at_our_cost(seller, parties):
    purchase = await parties.purchase()
    await costs_nothing(seller, parties, purchase.with_more(guard(parties.fee_payer.pubkey(), kind=0)))


async def test_a_drain_by_payments_to_oneself_or_to_nobody_we_follow(seller, parties, pool):
    stranger = Keypair()
    await parties.fund(stranger.pubkey(), 10_000)
    await follow(pool, parties.buyer.pubkey())
    await costs_nothing(
        seller,
        parties,
        await parties.purchase(pay_to=stranger.pubkey()),
        await parties.purchase(pay_to=parties.buyer.pubkey()),
    )


async def test_a_drain_by_payments_that_cannot_land(seller, parties):
    await costs_nothing(
        seller,
        parties,
        await parties.purchase(blockhash=Hash.new_unique()),
        await parties.purchase(payer=Keypair()),
        await parties.purchase(decimals=9),
    )


async def test_dust_of_strangers_without_a_key_leaves_a_merchant_its_budget(
    parties, net, pool, database_url, redis_url
):
    settings = {**parties.settings, "X402_LAMPORTS_PER_MERCHANT": 10 * FEE, "X402_KEYLESS_PERCENT": 30}
    async with (
        running_indexer(fast_settings(), database_url, [net.rpc_url], [net.ws_url]) as running,
        running_api(database_url, redis_url, [net.rpc_url], **settings) as api,
    ):
        await eventually(lambda: running.feed.watching >= 2)
        dust = []
        for _ in range(5):
            stranger = Keypair()
            await parties.fund(stranger.pubkey(), 1)
            dust.append(await parties.purchase(payer=stranger, amount=1))
        answers = await settled(api, *dust)
        assert sum(answer["success"] for answer in answers) == 3
        assert all("API key" in answer["errorMessage"] for answer in answers if not answer["success"])
        sales = [await parties.purchase() for _ in range(10)]
        assert all(answer["success"] for answer in await settled(api.holding(await key_for(pool)), *sales))
        (answer,) = await settled(api.holding(await key_for(pool)), await parties.purchase())
        assert "this seller may cost" in answer["errorMessage"]


async def test_a_drain_by_one_payment_shown_again_and_again(seller, parties):
    """The fee payer's empty signature can be altered by anybody: it makes no other payment."""
    purchase = await parties.purchase()
    before = await held(parties)
    bodies = []
    for n in range(8):
        wire = bytearray(base64.b64decode(purchase.encoded))
        wire[1:65] = bytes([n]) * 64
        bodies.append(purchase.body(payload={"transaction": base64.b64encode(bytes(wire)).decode()}))
    replies = await asyncio.gather(*(seller.post("/x402/settle", body) for body in bodies))
    assert [reply["success"] for reply in replies].count(True) == 1
    assert before - await held(parties) == FEE


async def test_a_drain_by_many_small_payments_or_by_races_that_fail(seller, parties):
    """Each costs us a fee; what a payer, and what a merchant with all of its payers, may cost in a day is bounded."""
    before = await held(parties)
    await settled(seller, *[await parties.purchase(amount=1) for _ in range(6)])
    assert before - await held(parties) <= PAYER_BUDGET
    for _ in range(3):
        poor = Keypair()
        await parties.fund(poor.pubkey(), 10_000)
        answers = await settled(seller, *[await parties.purchase(payer=poor) for _ in range(3)])
        assert [one["success"] for one in answers].count(True) <= 1
    assert before - await held(parties) <= MERCHANT_BUDGET
    (refused,) = await settled(seller, await parties.purchase(payer=poor, amount=1))
    assert refused["success"] is False
    assert await held(parties) >= before - MERCHANT_BUDGET
