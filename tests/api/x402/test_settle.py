"""POST /x402/settle over a real chain: sent once, answered once, and never a yes for what failed."""

import asyncio
import base64

import pytest
from solders.keypair import Keypair

from ledger.invariants import check_invariants
from tests.support.api_client import key_for, running_api
from tests.support.ledger_checks import eventually
from tests.support.wallets import PYUSD, SPL_2022, USDC, token_account
from tests.support.x402_parties import settled

IDENTIFIER = "an-identifier-of-a-caller"


def received(net, parties):
    return net.chain.true_token_balance(token_account(parties.shop, USDC)) or 0


def identified(purchase, identifier=IDENTIFIER, required=True):
    return purchase.body(extensions={"payment-identifier": {"info": {"required": required, "id": identifier}}})


@pytest.mark.parametrize("version", [2, 1])
@pytest.mark.parametrize("has_key", [True, False])
async def test_a_payment_is_settled_and_is_in_the_ledger(
    facilitator, seller, following, parties, pool, net, version, has_key
):
    client = seller if has_key else facilitator
    purchase = await parties.purchase()
    answer = await settled(client, purchase, version)
    assert answer["success"], answer
    network = "solana-devnet" if version == 1 else purchase.requirements()["network"]
    assert (answer["network"], answer["payer"], answer["amount"]) == (network, str(parties.buyer.pubkey()), "10000")
    assert answer["extra"]["finality"] in {"confirmed", "finalized"}
    (claim,) = await pool.fetch("SELECT * FROM transactions")
    assert (claim["signature"], claim["received"], claim["user_id"]) == (answer["transaction"], 10_000, "merchant")
    assert net.chain.find(answer["transaction"]) is not None
    assert received(net, parties) == 10_000
    assert await check_invariants(pool) == []
    for name in (answer["extra"]["paymentId"], answer["transaction"]):
        shown = await client.get(f"/x402/payments/{name}")
        assert (shown["status"], shown["transaction"], shown["slot"]) == (
            "completed", answer["transaction"], answer["extra"]["slot"],
        )  # fmt: skip


async def test_a_payment_shows_in_payments_and_reports(seller, following, parties):
    answer = await settled(seller, await parties.purchase())
    (payment,) = (await seller.get("/payments?limit=10"))["payments"]
    assert payment["signature"] == answer["transaction"]
    revenue = await seller.get("/analytics/revenue?period=day")
    assert revenue["transactionCount"] == 1


async def test_the_other_token_program(seller, following, parties, net):
    await parties.fund(parties.buyer.pubkey(), 50_000, PYUSD)
    await parties.fund(parties.shop, 0, PYUSD)
    purchase = await parties.purchase(mint=PYUSD, program=SPL_2022)
    assert (await settled(seller, purchase))["success"]
    shop_account = token_account(parties.shop, PYUSD, SPL_2022)
    assert net.chain.true_token_balance(shop_account) == 10_000


async def test_repeats_are_duplicates_once_it_was_answered(seller, following, parties, pool, net):
    purchase = await parties.purchase()
    answers = await asyncio.gather(*(settled(seller, purchase) for _ in range(12)))
    assert [one["success"] for one in answers].count(True) == 1
    assert {one.get("errorReason") for one in answers if not one["success"]} == {"duplicate_settlement"}
    assert len({one["transaction"] for one in answers}) == 1
    later = await settled(seller, purchase)
    assert (later["success"], later["errorReason"]) == (False, "duplicate_settlement")
    verdict = await seller.post("/x402/verify", purchase.body())
    assert verdict["invalidReason"] == "duplicate_settlement"
    assert received(net, parties) == 10_000
    assert await pool.fetchval("SELECT count(*) FROM settlements") == 1


async def test_the_fee_payers_empty_signature_makes_no_other_payment(seller, following, parties, net):
    """The signature of key 0 can be altered by anybody; the message is the payment."""
    purchase = await parties.purchase()
    assert (await settled(seller, purchase))["success"]
    wire = bytearray(base64.b64decode(purchase.encoded))
    wire[1:65] = bytes(range(64))
    body = purchase.body(payload={"transaction": base64.b64encode(bytes(wire)).decode()})
    again = (await seller.post("/x402/settle", body)).body
    assert (again["success"], again["errorReason"]) == (False, "duplicate_settlement")
    assert received(net, parties) == 10_000


async def test_a_settled_payment_shown_for_other_terms_is_refused(seller, following, parties):
    purchase = await parties.purchase()
    assert (await settled(seller, purchase))["success"]
    dearer = purchase.requirements(amount="20000")
    answer = await settled(seller, purchase, paymentRequirements=dearer)
    assert (answer["success"], answer["transaction"]) == (False, "")
    assert answer["errorReason"] == "invalid_exact_svm_payload_amount_mismatch"


async def test_the_stored_answer_is_given_for_the_same_identifier_and_payload(seller, following, parties):
    purchase = await parties.purchase()
    first = (await seller.post("/x402/settle", identified(purchase))).body
    assert first["success"]
    for _ in range(2):
        again = (await seller.post("/x402/settle", identified(purchase))).body
        assert (again["success"], again["transaction"]) == (True, first["transaction"])
    # Without the identifier it is a repeat like any other.
    assert (await settled(seller, purchase))["errorReason"] == "duplicate_settlement"


async def test_a_test_key_settles_nothing_to_a_live_wallet(seller, following, parties, pool):
    tester = seller.holding(await key_for(pool, environment="test"))
    purchase = await parties.purchase()
    for body in (purchase.body(), identified(purchase)):
        refused = (await tester.post("/x402/settle", body)).body
        assert (refused["success"], refused["errorReason"]) == (False, "invalid_payment_requirements")
    assert await pool.fetchval("SELECT count(*) FROM settlements") == 0
    assert (await seller.post("/x402/settle", identified(purchase)))["success"]
    # Nor is it told what was answered to the live one.
    assert not (await tester.post("/x402/settle", identified(purchase)))["success"]


async def test_what_was_pending_is_answered_once_and_again_for_its_identifier(
    database_url, redis_url, net, parties, pool, following
):
    async with running_api(database_url, redis_url, [net.rpc_url], **parties.settings, X402_WAIT_SECONDS=0.3) as api:
        client = api.holding(await key_for(pool))
        purchase = await parties.purchase()
        net.set_faults({"transactionsLost": 1})
        first = (await client.post("/x402/settle", identified(purchase))).body
        assert first["errorReason"] == "settlement_pending"
        net.set_faults(None)

        async def answered():
            body = (await client.post("/x402/settle", identified(purchase))).body
            return body if body["success"] else None

        assert (await eventually(answered))["transaction"] == first["transaction"]
        assert (await settled(client, purchase))["errorReason"] == "duplicate_settlement"
        assert await answered()
        # A transfer that has honoured another claim is nobody's here.
        await pool.execute("UPDATE settlements SET answering_since = NULL")
        assert not await answered()


async def test_an_identifier_is_bound_to_its_payload_and_looked_up_first(seller, following, parties):
    await seller.post("/x402/settle", identified(await parties.purchase()))
    other = await parties.purchase()
    assert (await seller.post("/x402/settle", identified(other))).status == 409
    # What would be refused is not even looked at.
    broken = identified(other.but(amount=1))
    assert (await seller.post("/x402/settle", broken)).status == 409


@pytest.mark.parametrize("info", [{"required": True}, {"id": "short"}, {"id": 7}, {"id": "x" * 129}, {"id": "ä" * 20}])
async def test_a_malformed_identifier_is_no_verdict(seller, parties, info):
    body = (await parties.purchase()).body(extensions={"payment-identifier": {"info": info}})
    reply = await seller.post("/x402/settle", body)
    assert (reply.status, reply["success"], reply["errorReason"]) == (400, False, "unexpected_settle_error")


async def test_a_memo_that_is_a_requests_nonce_pays_that_request(seller, following, parties):
    order = {"amount": "0.01", "currency": "USDC", "recipient": str(parties.shop), "resource": "report"}
    request = await seller.post("/payments/requests", order)
    purchase = await parties.purchase(memo=request["nonce"], is_memo_required=True)
    assert (await settled(seller, purchase))["success"]
    assert (await seller.get(f"/payments/requests/{request['nonce']}"))["status"] == "paid"
    again = await settled(seller, await parties.purchase(memo=request["nonce"], is_memo_required=True))
    assert (again["success"], again["transaction"]) == (False, "")
    assert "has been paid" in again["errorMessage"]


async def test_a_memo_that_names_a_request_for_other_terms_is_refused(seller, following, parties):
    order = {"amount": "5", "currency": "USDC", "recipient": str(parties.shop), "resource": "report"}
    request = await seller.post("/payments/requests", order)
    answer = await settled(seller, await parties.purchase(memo=request["nonce"], is_memo_required=True))
    assert answer["errorReason"] == "invalid_payment_requirements"
    assert "another token or amount" in answer["errorMessage"]


async def test_what_would_fail_is_refused_before_it_costs_a_fee(seller, following, parties, pool):
    poor = Keypair()
    await parties.fund(poor.pubkey(), 9_999)
    answer = await settled(seller, await parties.purchase(payer=poor))
    assert (answer["success"], answer["transaction"]) == (False, "")
    assert answer["errorReason"] == "invalid_exact_svm_transaction_simulation_failed"
    assert await pool.fetchval("SELECT count(*) FROM settlements") == 0


async def test_payments_of_others_are_not_shown_to_a_key(facilitator, seller, following, parties, pool):
    answer = await settled(seller, await parties.purchase())
    stranger = facilitator.holding(await key_for(pool, "stranger"))
    path = f"/x402/payments/{answer['extra']['paymentId']}"
    assert (await stranger.get(path)).status == 404
    assert (await facilitator.get(path)).status == 200
    assert (await facilitator.get("/x402/payments/nothing")).status == 404


async def race(client, parties, payments=6):
    """Payments of a wallet with money for one, all at once; what was answered, and what each one's fate is."""
    poor = Keypair()
    await parties.fund(poor.pubkey(), 10_000)
    purchases = [await parties.purchase(payer=poor) for _ in range(payments)]
    answers = await asyncio.gather(*(settled(client, one) for one in purchases))
    assert [one["success"] for one in answers].count(True) == 1, answers
    for one in answers:
        if not one["success"]:
            assert one["errorReason"] in {
                "invalid_exact_svm_transaction_failed",
                "invalid_exact_svm_transaction_simulation_failed",
            }, one
    return answers


async def test_a_wallet_with_money_for_one_payment_makes_one(seller, following, parties, pool, net):
    for _ in range(3):
        await race(seller, parties)
    assert received(net, parties) == 30_000
    assert await check_invariants(pool) == []


async def test_a_lost_broadcast_is_pending_and_then_the_truth(database_url, redis_url, net, parties, pool, following):
    settings = {**parties.settings, "X402_WAIT_SECONDS": 1}
    async with running_api(database_url, redis_url, [net.rpc_url], **settings) as api:
        client = api.holding(await key_for(pool))
        purchase = await parties.purchase()
        net.set_faults({"transactionsLost": 1})
        reply = await client.post("/x402/settle", purchase.body())
        assert reply["errorReason"] == "settlement_pending"
        assert reply["transaction"]
        assert reply.headers["Retry-After"]
        assert (await client.get(f"/x402/payments/{reply['transaction']}"))["status"] == "pending"
        net.set_faults(None)

        async def answered():
            answer = await settled(client, purchase)
            return answer if answer.get("errorReason") != "settlement_pending" else None

        final = await eventually(answered)
        assert (final["success"], final["transaction"]) == (True, reply["transaction"])
    assert received(net, parties) == 10_000


async def test_a_budget_that_is_used_up_signs_nothing(database_url, redis_url, net, parties, pool, following):
    async with running_api(
        database_url, redis_url, [net.rpc_url], **parties.settings, X402_LAMPORTS_PER_PAYER=15_000
    ) as api:
        client = api.holding(await key_for(pool))
        assert (await settled(client, await parties.purchase()))["success"]
        answer = await settled(client, await parties.purchase())
        assert (answer["success"], answer["transaction"]) == (False, "")
        assert answer["errorReason"] == "unexpected_settle_error"
        assert "this payer" in answer["errorMessage"]
    assert received(net, parties) == 10_000


async def test_amounts_that_must_be_final_are_answered_when_they_are(
    database_url, redis_url, net, parties, pool, following
):
    async with running_api(
        database_url, redis_url, [net.rpc_url], **parties.settings, FINALIZED_ABOVE="USDC:0.01"
    ) as api:
        answer = await settled(api.holding(await key_for(pool)), await parties.purchase())
    assert answer["success"], answer
    assert answer["extra"]["finality"] == "finalized"
