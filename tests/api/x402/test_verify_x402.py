"""POST /x402/verify and GET /x402/supported, with real wallets on a localnet."""

import asyncio
import hashlib

import pytest
from solders.account import Account
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import to_bytes_versioned

from api.x402.fee_payers import FeePayers
from chain.rpc import RpcPool
from chain.sending import broadcast
from ledger.claims import claim_settled
from ledger.settlements import FailureReason, end_answers, fail
from localnet.genesis import FEE_MINT
from tests.support.api_client import key_for, running_api
from tests.support.databases import execute
from tests.support.failed_over import cut_off
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import NO_NODE
from tests.support.settlement_rows import land, reserved
from tests.support.small_ledger import Merchant
from tests.support.wallets import PYUSD, SPL_2022, USDT, token_account
from tests.support.x402_payments import guard

EXACT = "invalid_exact_svm_"


async def verified(client, purchase, **options):
    reply = await client.post("/x402/verify", purchase.body(**options))
    assert reply.status == 200, reply.text
    return reply.body


async def balances(parties):
    fee_payer = await parties.call("getBalance", str(parties.fee_payer.pubkey()), {"commitment": "processed"})
    return fee_payer["value"]


async def test_what_is_supported_names_a_fee_payer_for_both_versions(facilitator, parties):
    reply = await facilitator.get("/x402/supported")
    fee_payer = str(parties.fee_payer.pubkey())
    extra = {"feePayer": fee_payer, "computeUnitsMax": 60_000, "computeUnitPriceMaxMicrolamports": 100_000}
    exact = {"scheme": "exact", "extra": extra}
    assert reply.body == {
        "kinds": [
            {"x402Version": 2, "network": "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1", **exact},
            {"x402Version": 1, "network": "solana-devnet", **exact},
        ],
        "extensions": ["payment-identifier"],
        "signers": {"solana:*": [fee_payer]},
    }


async def test_without_a_fee_payer_nothing_is_supported(api, parties):
    assert (await api.get("/x402/supported")).body == {"kinds": [], "extensions": [], "signers": {}}
    refused = await verified(api, await parties.purchase())
    assert refused["invalidReason"] == f"{EXACT}fee_payer_not_managed_by_facilitator"


@pytest.mark.parametrize("version", [2, 1])
async def test_a_good_payment_is_valid_and_nothing_is_changed(facilitator, seller, parties, pool, version):
    purchase = await parties.purchase()
    before = await balances(parties), await pool.fetchval("SELECT count(*) FROM events")
    for client in (facilitator, seller, seller):
        assert await verified(client, purchase, version=version) == {
            "isValid": True,
            "payer": str(parties.buyer.pubkey()),
        }
    assert (await balances(parties), await pool.fetchval("SELECT count(*) FROM events")) == before


async def test_the_other_token_program_and_guards_of_a_wallet_are_good(seller, parties):
    await parties.fund(parties.buyer.pubkey(), 50_000, PYUSD)
    await parties.fund(parties.shop, 0, PYUSD)
    assert (await verified(seller, await parties.purchase(mint=PYUSD, program=SPL_2022)))["isValid"]
    purchase = await parties.purchase(units=60_000)
    guards = [guard(parties.fee_payer.pubkey()) for _ in range(3)]
    limit, price, *rest = purchase.usual
    phantom = purchase.but(instructions=(limit, price, *guards, *rest, guard(parties.buyer.pubkey())))
    assert (await verified(seller, phantom))["isValid"]


async def test_only_wallets_that_are_followed_for_the_caller_are_paid(facilitator, seller, parties, pool):
    stranger = facilitator.holding(await key_for(pool, "stranger"))
    admin = facilitator.holding(await key_for(pool, "operations", ("read", "write", "admin")))
    test_key = facilitator.holding(await key_for(pool, environment="test"))
    purchase = await parties.purchase()
    assert (await verified(admin, purchase))["isValid"]
    for client, what in ((stranger, "another user"), (test_key, "a test key")):
        refused = await verified(client, purchase)
        assert refused["invalidReason"] == "invalid_payment_requirements"
        assert what in refused["invalidMessage"]
    unknown = Keypair().pubkey()
    await parties.fund(unknown, 0)
    for client in (facilitator, seller, admin):
        refused = await verified(client, await parties.purchase(pay_to=unknown))
        assert refused["invalidReason"] == "invalid_payment_requirements"
        assert "register it with POST /recipients" in refused["invalidMessage"]
    await pool.execute("UPDATE recipients SET active = false, removed_at = now()")
    assert not (await verified(seller, purchase))["isValid"]


async def test_a_token_that_the_ledger_does_not_know_is_refused(seller, parties):
    refused = await verified(seller, await parties.purchase(mint=Keypair().pubkey()))
    assert refused["invalidReason"] == "invalid_payment_requirements"
    assert "is not known to this ledger" in refused["invalidMessage"]


async def test_a_token_that_keeps_a_fee_brings_less_than_is_required(seller, parties, pool):
    await parties.fund(parties.buyer.pubkey(), 50_000, FEE_MINT)
    await parties.fund(parties.shop, 0, FEE_MINT)
    known = "INSERT INTO tokens (mint, program, decimals, symbol, network) VALUES ($1, $2, 6, 'FEE', 'devnet')"
    await pool.execute(known, str(FEE_MINT), str(SPL_2022))
    purchase = await parties.purchase(mint=FEE_MINT, program=SPL_2022)

    async def is_known():
        """A token that was just added is known a moment later."""
        return (await verified(seller, purchase))["invalidReason"] != "invalid_payment_requirements"

    await eventually(is_known)
    refused = await verified(seller, purchase)
    assert refused["invalidReason"] == f"{EXACT}payload_amount_mismatch", refused
    assert "keeps 100 base units" in refused["invalidMessage"]


def spare_account(net, usual, delegate, amount):
    """Another account of the owner of `usual`, with money that `delegate` may move."""
    like = net.chain.bank.get_account(usual)
    data = bytearray(like.data)
    # Amount, delegate and delegated amount of a token account.
    data[64:72] = data[121:129] = amount.to_bytes(8, "little")
    data[72:108] = bytes([1, 0, 0, 0]) + bytes(delegate)
    spare = Keypair().pubkey()
    net.chain.bank.set_account(spare, Account(like.lamports, bytes(data), like.owner))
    return spare


async def test_money_of_the_seller_itself_is_no_payment_whoever_moves_it(seller, parties, net):
    """A delegate of the seller could have fees paid for moving money from one account of the seller to another."""
    delegate = Keypair()
    purchase = await parties.purchase(payer=delegate)
    usual = token_account(parties.shop, purchase.mint)
    spare = spare_account(net, usual, delegate.pubkey(), purchase.amount)
    metas = [AccountMeta(spare, False, True), *purchase.transfer.accounts[1:]]
    moving = Instruction(purchase.transfer.program_id, bytes(purchase.transfer.data), metas)
    refused = await verified(seller, purchase.placed(2, moving))
    assert refused["invalidReason"] == f"{EXACT}payload_no_transfer_instruction", refused
    assert "already" in refused["invalidMessage"]


async def test_what_would_fail_says_why(seller, parties):
    poor = Keypair()
    await parties.fund(poor.pubkey(), 9_999)
    await parties.fund(parties.buyer.pubkey(), 10_000, USDT)
    cases = {
        "insufficient funds: the payer holds 9999 base units of 10000": {"payer": poor},
        "does not exist": {"payer": Keypair()},
        "has no token account": {"mint": USDT},
        "its blockhash has expired": {"blockhash": Hash.new_unique()},
        "the node says": {"decimals": 9},
    }
    for cause, changes in cases.items():
        purchase = await parties.purchase(**changes)
        refused = await verified(seller, purchase)
        assert refused["invalidReason"] == f"{EXACT}transaction_simulation_failed", refused
        assert cause in refused["invalidMessage"]
        assert refused["payer"] == str(purchase.payer.pubkey())


async def test_malformed_requests_are_no_verdict_and_say_so(seller):
    for body in ({}, {"x402Version": "2"}, {"x402Version": 2, "paymentPayload": [], "paymentRequirements": {}}):
        reply = await seller.post("/x402/verify", body)
        assert (reply.status, reply["isValid"], reply.code) == (400, False, "VALIDATION_ERROR")


async def test_a_node_that_is_away_says_nothing_about_the_payment(database_url, redis_url, parties, pool):
    async with running_api(database_url, redis_url, [NO_NODE], **parties.settings) as client:
        reply = await client.post("/x402/verify", (await parties.purchase()).body())
        assert (reply.status, reply["isValid"], reply["invalidReason"]) == (503, False, "unexpected_verify_error")
        assert reply.headers["retry-after"]
        # What is wrong in itself is refused without a node.
        refused = await verified(client, (await parties.purchase()).but(price=10**9))
        assert refused["invalidReason"].endswith("_too_high")


async def test_a_payment_that_has_landed_is_a_duplicate(seller, parties):
    purchase = await parties.purchase()
    assert (await verified(seller, purchase))["isValid"]
    _, wire = FeePayers([parties.fee_payer]).sign(bytes(purchase.transaction()))
    async with RpcPool([parties.rpc_url]) as rpc:
        await broadcast(rpc, wire, preflight=True)
    assert (await verified(seller, purchase))["invalidReason"] == "duplicate_settlement"


async def test_a_payment_is_valid_until_its_seller_has_heard_that_it_is_settled(seller, parties, pool):
    """What is under way, or settled without anybody having heard of it, is settled again to learn its fate."""
    purchase = await parties.purchase()
    message_hash = hashlib.sha256(to_bytes_versioned(purchase.transaction().message)).digest()
    account = str(token_account(parties.shop, purchase.mint))
    merchant = Merchant("merchant", str(parties.shop))
    terms = {"message_hash": message_hash, "payer": str(parties.buyer.pubkey()), "destination": account}
    payment, settlement = await reserved(pool, merchant, purchase.amount, **terms)
    assert (await verified(seller, purchase))["isValid"]
    await land(pool, payment)
    assert await claim_settled(pool, [settlement]) == {settlement}
    assert (await verified(seller, purchase))["isValid"]
    await end_answers(pool, [settlement])
    for client in (seller, seller):
        refused = await verified(client, purchase)
        assert (refused["isValid"], refused["invalidReason"]) == (False, "duplicate_settlement")
    # Other terms are refused before the message is looked up.
    other = await seller.post("/x402/verify", purchase.body(requirements=purchase.requirements(amount="1")))
    assert other["invalidReason"] == f"{EXACT}payload_amount_mismatch"


async def test_a_payment_that_was_sent_and_failed_is_not_valid_again(seller, parties, pool):
    purchase = await parties.purchase()
    message_hash = hashlib.sha256(to_bytes_versioned(purchase.transaction().message)).digest()
    merchant = Merchant("merchant", str(parties.shop))
    _, settlement = await reserved(pool, merchant, purchase.amount, message_hash=message_hash)
    assert await fail(pool, settlement, reason=FailureReason.NEVER_LANDED, detail="its blockhash died")
    refused = await verified(seller, purchase)
    assert refused["invalidReason"] == f"{EXACT}transaction_simulation_failed"
    assert "its blockhash died" in refused["invalidMessage"]


async def test_verifications_count_against_their_own_limit(database_url, redis_url, parties):
    limits = {"VERIFY_RATE_LIMIT": 3, "PUBLIC_RATE_LIMIT": 0}
    body = (await parties.purchase()).body()
    async with running_api(database_url, redis_url, [parties.rpc_url], **parties.settings, **limits) as client:
        # What is malformed counts too.
        statuses = [(await client.post("/x402/verify", one)).status for one in ({}, body, body)]
        statuses += [(await client.post("/x402/verify", body)).status for _ in range(2)]
        assert statuses[:3] == [400, 200, 200]
        assert 429 in statuses
        refused = await client.post("/x402/verify", body)
        assert (refused.status, refused["isValid"], refused.code) == (429, False, "RATE_LIMIT_EXCEEDED")
        assert (await client.get("/x402/supported")).status == 200


async def test_a_hundred_at_once_are_read_for_together_and_each_has_its_own_verdict(seller, parties, pool):
    unknown = Keypair().pubkey()
    await parties.fund(unknown, 0)
    good, strange = await parties.purchase(), await parties.purchase(pay_to=unknown)
    bodies = [one.body() for one in (good, strange) for _ in range(50)]
    replies = await asyncio.gather(*(seller.post("/x402/verify", body) for body in bodies))
    assert [reply["isValid"] for reply in replies] == [True] * 50 + [False] * 50
    assert {reply["invalidReason"] for reply in replies[50:]} == {"invalid_payment_requirements"}


async def test_a_database_that_is_away_says_nothing_about_the_payment(
    facilitator, parties, pool, postgres, database_url
):
    body = (await parties.purchase()).body()
    assert (await facilitator.post("/x402/verify", body))["isValid"]
    name, server = await pool.fetchval("SELECT current_database()"), postgres.format("postgres")
    await execute(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await cut_off(pool, "api")
    reply = await facilitator.post("/x402/verify", body)
    assert (reply.status, reply["isValid"], reply.code) == (503, False, "UNAVAILABLE")
    await execute(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    async def is_valid_again():
        return (await facilitator.post("/x402/verify", body)).status == 200

    await eventually(is_valid_again)
