"""What becomes of pending claims: by the ledger where it knows, by the chain where it does not, never by guess."""

import contextlib
import uuid

import pytest
from solders.keypair import Keypair

from chain.rpc import RpcError
from indexer.main import running_indexer
from localnet import payments as pay
from localnet.payments import USDC
from tests.support.ledger_checks import eventually
from tests.support.ledger_checks import fast_settings as fast_indexer
from tests.support.pending_claims import AMOUNT, claim
from worker.claims.decide import reconcile
from worker.claims.match_requests import match_new_payments, sweep_requests


async def fate(shop, claim_id):
    row = await shop.pool.fetchrow("SELECT status::text, code FROM transactions WHERE id = $1", claim_id)
    return row["status"], row["code"]


async def recorded(shop, signature):
    await eventually(lambda: shop.pool.fetchval("SELECT count(*) FROM transfers WHERE signature = $1", signature))


async def transfer(shop, amount=AMOUNT, to=None):
    payment = pay.plain(shop.client.pubkey(), to or shop.wallet.pubkey(), amount)
    return await shop.send(payment.instructions, shop.client)


async def test_claims_are_decided_by_what_the_ledger_holds(shop, indexer, context):
    signature = await transfer(shop)
    await recorded(shop, signature)
    stranger = str(Keypair().pubkey())
    right = await claim(shop, signature, age_seconds=60)
    wrong = {
        "INSUFFICIENT_AMOUNT": await claim(shop, signature, amount=AMOUNT + 1),
        "PAYER_MISMATCH": await claim(shop, signature, payer=stranger),
        "RECIPIENT_MISMATCH": await claim(shop, signature, user="somebody else"),
    }
    replay = await claim(shop, signature, age_seconds=30)
    await reconcile(context)
    await reconcile(context)
    assert await fate(shop, right) in (("confirmed", None), ("finalized", None))
    for code, refused in wrong.items():
        assert await fate(shop, refused) == ("failed", code)
    assert await fate(shop, replay) == ("failed", "REPLAY_ATTACK")
    assert await shop.violations() == []


async def test_two_claims_in_one_transaction_get_a_transfer_each(shop, indexer, context):
    to = shop.wallet.pubkey()
    both = [*pay.plain(shop.client.pubkey(), to, AMOUNT).instructions] * 2
    signature = await shop.send(both, shop.client)
    await recorded(shop, signature)
    claims = [await claim(shop, signature) for _ in range(3)]
    nonce = uuid.uuid4().hex
    same = [await claim(shop, signature, nonce=nonce, payer=p) for p in (None, str(Keypair().pubkey()))]
    for _ in range(3):
        await reconcile(context)
    fates = [(await fate(shop, one))[0] for one in claims]
    assert sorted(status for status in fates if status != "failed") in (["confirmed"] * 2, ["finalized"] * 2)
    assert {(await fate(shop, one))[0] for one in same} == {"failed"}
    assert await shop.violations() == []


async def test_a_payment_that_only_the_chain_knows_is_asked_for_once_and_then_honoured(
    shop, context, net, database_url
):
    signature = await transfer(shop)
    pending = await claim(shop, signature)
    # Nobody indexes, and the chain has it: a missed payment.
    done = await eventually(lambda: _missed(context), pause=0.1)
    assert done.missed_payments == 1
    assert context.metrics.missed._value.get() == 1
    assert await shop.pool.fetchval("SELECT signature FROM index_requests") == signature
    assert (await reconcile(context)).missed_payments == 0
    assert await fate(shop, pending) == ("pending", None)
    async with running_indexer(fast_indexer(), database_url, [net.rpc_url], [net.ws_url]):

        async def honoured():
            await reconcile(context)
            return (await fate(shop, pending))[0] in {"confirmed", "finalized"}

        await eventually(honoured)
        await eventually(lambda: shop.pool.fetchval("SELECT finished_at IS NOT NULL FROM index_requests"))


async def _missed(context):
    done = await reconcile(context)
    return done if done.missed_payments else None


async def test_a_transaction_that_failed_fails_its_claim_once_that_is_final(shop, indexer, context):
    signature = await _failing(shop)
    pending = await claim(shop, signature)
    await reconcile(context)

    async def failed():
        await reconcile(context)
        return (await fate(shop, pending))[0] != "pending"

    await eventually(failed)
    assert await fate(shop, pending) == ("failed", "TRANSACTION_FAILED")


async def _failing(shop):
    import base64

    from solders.hash import Hash
    from solders.message import MessageV0
    from solders.transaction import VersionedTransaction

    payment = pay.failing(shop.client.pubkey(), shop.wallet.pubkey(), AMOUNT)
    newest = await shop.call("getLatestBlockhash", {"commitment": "confirmed"})
    message = MessageV0.try_compile(
        shop.client.pubkey(), payment.instructions, [], Hash.from_string(newest["value"]["blockhash"])
    )
    raw = base64.b64encode(bytes(VersionedTransaction(message, [shop.client]))).decode()
    return await shop.call("sendTransaction", raw, {"encoding": "base64", "skipPreflight": True})


async def test_money_for_somebody_whom_nobody_follows_is_a_mismatch(shop, indexer, context):
    other = Keypair().pubkey()
    await shop.call("localnet_fundToken", str(other), str(USDC), 0)
    pending = await claim(shop, await transfer(shop, to=other))

    async def settled():
        await reconcile(context)
        return (await fate(shop, pending))[0] != "pending"

    await eventually(settled)
    assert await fate(shop, pending) == ("failed", "RECIPIENT_MISMATCH")
    assert await shop.pool.fetchval("SELECT count(*) FROM index_requests") == 0


async def test_what_never_was_expires_only_after_its_blockhash(shop, indexer, context, net):
    pending = await claim(shop, str(shop.client.sign_message(b"never sent")))
    for _ in range(3):
        done = await reconcile(context)
        assert (done.expired, done.still_pending) == (0, 1)
    net.set_faults({"nodeBehindSlots": 140})
    net.chain.tick(155)
    # A node that is behind cannot say that anything is over.
    assert (await reconcile(context)).expired == 0
    net.set_faults(None)
    net.chain.tick(20)
    assert (await reconcile(context)).expired == 1
    assert await fate(shop, pending) == ("expired", "TRANSACTION_FAILED")


async def test_a_young_claim_is_left_alone_and_so_is_every_claim_while_the_nodes_are_away(shop, context, net):
    young = await claim(shop, str(shop.client.sign_message(b"young")), age_seconds=0)
    before = net.hazard.struck
    net.set_faults({"serverErrors": 1})
    assert (await reconcile(context)).still_pending == 1
    assert net.hazard.struck == before
    old = await claim(shop, str(shop.client.sign_message(b"old")), age_seconds=3600)
    with pytest.raises(RpcError):
        await reconcile(_impatient(context))
    assert await fate(shop, young) == await fate(shop, old) == ("pending", None)


def _impatient(context):
    import dataclasses

    from chain.node import Node
    from chain.rpc import RpcLimits

    context.node.pool.limits = RpcLimits(attempts=1, call_seconds=0.5)
    return dataclasses.replace(context, node=Node(context.node.pool))


async def request(shop, *, amount=AMOUNT, seconds=600.0, scheme="minimum"):
    reference, nonce = Keypair().pubkey(), uuid.uuid4().hex
    await shop.pool.execute(
        "INSERT INTO nonces (nonce, user_id, recipient, mint, currency, amount, reference, expires_at, scheme)"
        " VALUES ($1, 'merchant', $2, $3, 'USDC', $4, $5, now() + make_interval(secs => $6), $7)",
        nonce, str(shop.wallet.pubkey()), str(USDC), amount, str(reference), seconds, scheme,
    )  # fmt: skip
    return nonce, reference


async def pay_request(shop, reference, amount=AMOUNT, memo="hello"):
    payment = pay.checked(shop.client.pubkey(), shop.wallet.pubkey(), amount, reference, memo)
    signature = await shop.send(payment.instructions, shop.client)
    await recorded(shop, signature)
    return signature


async def honoured(shop, nonce):
    return await shop.pool.fetch(
        "SELECT signature, payer, received, answered_at FROM transactions WHERE nonce = $1"
        " AND status IN ('confirmed', 'finalized')",
        nonce,
    )


@pytest.mark.parametrize("how", ["reference", "memo"])
@pytest.mark.parametrize("search", ["new payments", "sweep"])
async def test_a_payment_that_names_its_request_needs_no_claim(shop, indexer, context, how, search):
    nonce, reference = await request(shop)
    by_reference = how == "reference"
    signature = await pay_request(
        shop, reference if by_reference else Keypair().pubkey(), memo="hello" if by_reference else nonce
    )
    if search == "sweep":
        await eventually(lambda: shop.pool.fetchval("SELECT bool_and(finality = 'finalized') FROM transfers"))
        assert await match_new_payments(context) == 0
        assert await sweep_requests(context) == 1
    else:
        assert await match_new_payments(context) == 1
    (row,) = await honoured(shop, nonce)
    assert (row["signature"], row["payer"], row["received"]) == (signature, str(shop.client.pubkey()), AMOUNT)
    assert row["answered_at"] is None
    assert await match_new_payments(context) == await sweep_requests(context) == 0


async def test_what_does_not_fit_its_request_matches_nothing(shop, indexer, context):
    short, late, exact = await request(shop), await request(shop, seconds=-60), await request(shop, scheme="exact")
    for (nonce, reference), amount in ((short, AMOUNT - 1), (late, AMOUNT), (exact, AMOUNT + 1)):
        await pay_request(shop, reference, amount)
        assert await match_new_payments(context) == 0
        assert await sweep_requests(context) == 0
        assert await honoured(shop, nonce) == []
    # Paid twice, the request takes one of the two.
    nonce, reference = await request(shop)
    await pay_request(shop, reference)
    await pay_request(shop, reference, AMOUNT + 1)
    assert await match_new_payments(context) == 1
    assert len(await honoured(shop, nonce)) == 1
    assert await shop.violations() == []


async def test_what_must_be_final_is_matched_only_when_it_is(shop, indexer, context):
    nonce, reference = await request(shop)
    await shop.pool.execute("UPDATE nonces SET final_only = true WHERE nonce = $1", nonce)
    await pay_request(shop, reference)
    early = await match_new_payments(context) + await sweep_requests(context)
    was_final = await shop.pool.fetchval("SELECT bool_and(finality = 'finalized') FROM transfers")
    assert early == 0 or was_final
    await eventually(lambda: shop.pool.fetchval("SELECT bool_and(finality = 'finalized') FROM transfers"))
    assert early + await sweep_requests(context) == 1
    assert [row["received"] for row in await honoured(shop, nonce)] == [AMOUNT]
    assert await shop.pool.fetchval("SELECT final_only AND for_request FROM transactions WHERE nonce = $1", nonce)


async def test_a_pending_claim_does_not_lift_the_expiry_of_its_request(shop, indexer, context):
    nonce, _ = await request(shop)
    early = await claim(shop, str(uuid.uuid4().int).replace("0", "1").ljust(88, "1"), nonce=nonce)
    signature = await transfer(shop)
    await recorded(shop, signature)
    await shop.pool.execute("UPDATE transactions SET signature = $1 WHERE id = $2", signature, early)
    await shop.pool.execute("UPDATE nonces SET expires_at = clock_timestamp() - interval '1 hour'")
    await reconcile(context)
    assert await fate(shop, early) == ("failed", "PAYMENT_EXPIRED")


async def test_ten_workers_at_once_decide_each_claim_once(shop, indexer, context):
    import asyncio

    signature = await transfer(shop)
    await recorded(shop, signature)
    for _ in range(50):
        await claim(shop, signature)
    for _ in range(3):
        with contextlib.suppress(RpcError):
            await asyncio.gather(*(reconcile(context) for _ in range(10)))
    counts = await shop.pool.fetch("SELECT status::text, count(*) FROM transactions GROUP BY 1 ORDER BY 2")
    assert [row["count"] for row in counts] == [1, 49]
    assert await shop.pool.fetchval("SELECT count(*) FROM events WHERE type = 'claim.confirmed'") == 1
    assert await shop.violations() == []
