"""Payment requests and the ledger's pages, as merchants read them."""

import asyncio
import datetime as dt
from urllib.parse import parse_qs, urlsplit

from solders.keypair import Keypair

from ledger.claims import honour_pending
from tests.support.api_client import key_for
from tests.support.ledger_rows import Vendor, book, new_signature
from tests.support.reconciling import reconcile


async def test_a_payment_request_says_all_that_a_wallet_needs(vendor):
    order = {"amount": 0.29, "currency": "usdc", "resource": "/report & more", "metadata": {"n": 1.5, "deep": [None]}}
    reply = await vendor.client.post("/payments/requests", order)
    assert reply.status == 201, reply.text
    assert '"amount":0.29,' in reply.text
    assert (reply["amountBaseUnits"], reply["currency"], reply["recipient"]) == ("290000", "USDC", vendor.wallet)
    assert (reply["status"], reply["scheme"], reply["metadata"]) == ("open", "minimum", order["metadata"])
    url = urlsplit(reply["solanaPayUrl"])
    assert (url.scheme, url.path) == ("solana", vendor.wallet)
    fields = {name: values[0] for name, values in parse_qs(url.query, strict_parsing=True).items()}
    assert fields == {
        "amount": "0.29", "spl-token": reply["mint"], "reference": reply["reference"], "memo": reply["nonce"],
        "label": "/report & more",
    }  # fmt: skip
    native = await vendor.client.post("/payments/requests", {"amount": "1", "currency": "SOL"})
    assert "spl-token" not in native["solanaPayUrl"]
    shown = await vendor.client.get(f"/payments/requests/{reply['nonce']}")
    assert {name: shown[name] for name in reply.body} == reply.body
    assert (shown["late"], shown["short"], shown["over"], shown["transfers"]) == (False, False, False, [])


async def test_a_payment_request_names_one_of_the_merchants_wallets(vendor):
    order = {"amount": 1, "currency": "USDC"}
    rival = await Vendor(vendor.api, vendor.pool, user="rival").open()
    assert (await vendor.client.post("/payments/requests", {**order, "recipient": rival.wallet})).status == 400
    nobody = vendor.api.holding(await key_for(vendor.pool, "nobody"))
    assert (await nobody.post("/payments/requests", order)).code == "CONFLICT"
    second = await Vendor(vendor.api, vendor.pool).open()
    assert (await vendor.client.post("/payments/requests", order))["recipient"] == vendor.wallet
    named = await vendor.client.post("/payments/requests", {**order, "recipient": second.wallet})
    assert (named.status, named["recipient"]) == (201, second.wallet)
    assert (await vendor.client.post("/payments/requests", {**order, "expiresIn": 1})).status == 201
    for wrong in (
        {"amount": 0},
        {"expiresIn": 0},
        {"expiresIn": 31 * 86_400_000},
        {"metadata": {"a": "x" * 5_000}},
        {"metadata": {"a": "\0"}},
        {"metadata": []},
    ):
        refused = await vendor.client.post("/payments/requests", {**order, "recipient": vendor.wallet, **wrong})
        assert (refused.status, refused.code) == (400, "VALIDATION_ERROR"), wrong


async def test_a_payment_request_shows_what_became_of_it(vendor):
    async def shown(request):
        return await vendor.client.get(f"/payments/requests/{request['nonce']}")

    paid = await vendor.requested(10_000)
    await vendor.client.verify(vendor.proof(await vendor.paid(10_000), nonce=paid["nonce"]))
    assert (await shown(paid))["status"] == "paid"
    assert (await shown(await vendor.requested(seconds=-1)))["status"] == "expired"
    short = await vendor.requested(10_000)
    await vendor.paid(9_000, reference_keys=[short["reference"]])
    reply = await shown(short)
    assert (reply["status"], reply["short"], reply["over"]) == ("open", True, False)
    assert [transfer["amountBaseUnits"] for transfer in reply["transfers"]] == ["9000"]
    over = await vendor.requested(10_000)
    proof = vendor.proof(await vendor.paid(12_000, memos=[over["nonce"]]), nonce=over["nonce"])
    assert (await vendor.client.verify(proof)).code == "VALID"
    reply = await shown(over)
    assert (reply["status"], reply["over"], reply["transactionId"]) == ("paid", True, proof["transactionId"])
    late = await vendor.requested(10_000)
    waiting = vendor.proof(new_signature(), nonce=late["nonce"])
    assert (await vendor.client.verify(waiting)).code == "PAYMENT_PENDING"
    assert (await shown(late))["status"] == "pending"
    await vendor.pool.execute("UPDATE nonces SET expires_at = created_at WHERE nonce = $1", late["nonce"])
    await vendor.paid(10_000, signature=waiting["transactionId"])
    await honour_pending(vendor.pool, [((await vendor.claim(late["nonce"]))["id"], "0")])
    reply = await shown(late)
    assert (reply["status"], reply["late"]) == ("paid", True)


async def test_a_payment_that_came_too_late_for_its_request_is_flagged_though_it_honours_nothing(vendor):
    now = dt.datetime.now(dt.UTC)
    missed, paid = await vendor.requested(10_000, seconds=-60), await vendor.requested(10_000, seconds=-60)
    await vendor.paid(10_000, reference_keys=[missed["reference"]])
    await vendor.paid(10_000, reference_keys=[paid["reference"]], block_time=now - dt.timedelta(seconds=90))
    for request, late in ((missed, True), (paid, False)):
        reply = await vendor.client.get(f"/payments/requests/{request['nonce']}")
        assert (reply["status"], reply["late"], len(reply["transfers"])) == ("expired", late, 1)


async def test_pages_have_neither_gaps_nor_doubles_while_payments_come_in(vendor):
    """Newest first; what comes in while somebody turns the pages belongs before the first."""
    there = [await vendor.paid(1 + n, slot=100 + n // 7) for n in range(60)]
    other = await Vendor(vendor.api, vendor.pool).open()
    there += [await book(vendor.pool, vendor.buyer.pubkey(), other.wallet, 5, slot=103) for _ in range(5)]
    is_over = False

    async def pay_on():
        while not is_over:
            await vendor.paid(3, slot=500)
            await asyncio.sleep(0.001)

    paying = asyncio.create_task(pay_on())
    seen, cursor = [], ""
    while cursor is not None:
        page = await vendor.client.get(f"/payments?limit=4&cursor={cursor}")
        assert page.status == 200, page.text
        assert len(page["payments"]) == 4 or page["nextCursor"] is None
        seen += page["payments"]
        cursor = page["nextCursor"]
    is_over = True
    await paying
    signatures = [payment["signature"] for payment in seen]
    assert len(set(signatures)) == len(signatures)
    assert set(there) <= set(signatures)
    slots = [payment["slot"] for payment in seen]
    assert slots == sorted(slots, reverse=True)


async def test_pages_end_exactly_and_go_through_one_transaction(vendor):
    transaction = new_signature()
    for path in ("0", "0.1", "1", "10", "2"):
        await book(vendor.pool, vendor.buyer.pubkey(), vendor.wallet, 1, signature=transaction, path=path)
    first = await vendor.client.get("/payments?limit=3")
    second = await vendor.client.get(f"/payments?limit=2&cursor={first['nextCursor']}")
    paths = [payment["path"] for payment in [*first["payments"], *second["payments"]]]
    assert sorted(paths) == ["0", "0.1", "1", "10", "2"]
    assert second["nextCursor"] is None
    for cursor in ("nonsense", "AAAA", "x" * 401, "%00", "MS8x"):
        refused = await vendor.client.get(f"/payments?cursor={cursor}")
        assert (refused.status, refused.code) == (400, "VALIDATION_ERROR"), cursor


async def test_payments_are_found_by_what_they_are(vendor):
    kept = await vendor.paid(1, slot=7)
    await vendor.paid(2, finality="finalized")
    usdt = "EJwZgeZrdC8TXTQbQBoL6bfuAnFUUy1PVCMB4DYPzVaS"
    await vendor.paid(3, mint=usdt)
    await book(vendor.pool, Keypair().pubkey(), vendor.wallet, 4)
    await vendor.paid(5, finality="orphaned")

    async def amounts(query):
        reply = await vendor.client.get(f"/payments?{query}")
        assert reply.status == 200, reply.text
        return sorted(int(payment["amountBaseUnits"]) for payment in reply["payments"])

    assert await amounts("") == [1, 2, 3, 4, 5]
    assert await amounts("status=finalized") == [2]
    assert await amounts("status=reversed") == [5]
    assert await amounts("status=confirmed") == [1, 2, 3, 4]
    assert await amounts("status=confirmed&finality=finalized") == await amounts("finality=finalized") == [2]
    assert await amounts("status=pending") == await amounts("status=failed") == await amounts("status=expired") == []
    assert await amounts(f"mint={usdt}") == [3]
    assert await amounts(f"payer={vendor.buyer.pubkey()}&status=confirmed") == [1, 2, 3]
    assert await amounts(f"recipient={Keypair().pubkey()}") == []
    assert await amounts("since=0&until=1") == []
    assert await amounts("since=1") == [1, 2, 3, 4, 5]
    for wrong in ("limit=0", "limit=501", "status=new", "mint=x", "since=-1", "since=99999999999999999", "limit=x"):
        assert (await vendor.client.get(f"/payments?{wrong}")).code == "VALIDATION_ERROR", wrong
    shown = await vendor.client.get(f"/payments/{kept}")
    assert [(one["signature"], one["slot"], one["claim"]) for one in shown["payments"]] == [(kept, 7, None)]


async def test_what_too_few_nodes_have_seen_is_pending_and_not_received(vendor, database_url):
    """Whether another node contradicts it or has not been asked yet."""
    request = await vendor.requested(seconds=-60)
    now = dt.datetime.now(dt.UTC)
    named = {"memos": [request["nonce"]], "awaits_witness_since": now}
    doubtful = {await vendor.paid(**named, contested_at=contested) for contested in (now, None)}
    undone = await vendor.paid(awaits_witness_since=now, finality="orphaned")
    sure = await vendor.paid(20_000)

    async def listed(query):
        return {one["signature"] for one in (await vendor.client.get(f"/payments?{query}"))["payments"]}

    assert await listed("") == {*doubtful, undone, sure}
    assert await listed("status=pending") == doubtful
    assert await listed("status=confirmed") == await listed("finality=confirmed") == {sure}
    assert await listed("status=finalized") == await listed("status=pending&finality=confirmed") == set()
    assert await listed("status=reversed") == {undone}
    for signature in doubtful:
        (one,) = (await vendor.client.get(f"/payments/{signature}"))["payments"]
        assert (one["status"], one["finality"]) == ("pending", None)
    shown = await vendor.client.get(f"/payments/requests/{request['nonce']}")
    assert {one["status"] for one in shown["transfers"]} == {"pending"}
    assert (shown["receivedBaseUnits"], shown["late"], shown["short"], shown["duplicate"]) == ("0", False, False, False)
    await reconcile(database_url)
    findings = (await vendor.client.get("/analytics/reconciliation/findings"))["findings"]
    assert {(one["kind"], one["signature"]) for one in findings} == {("unmatchedTransfer", sure)}
    assert await vendor.pool.fetchval("SELECT count(*) FROM analytics.transfers WHERE finality = 'pending'") == 2
    # A second node has seen them.
    await vendor.pool.execute("UPDATE transfers SET awaits_witness_since = NULL, contested_at = NULL")
    assert await listed("status=confirmed") == {*doubtful, sure}
    shown = await vendor.client.get(f"/payments/requests/{request['nonce']}")
    assert (shown["receivedBaseUnits"], shown["late"], shown["duplicate"]) == ("20000", True, True)
    await reconcile(database_url)
    findings = (await vendor.client.get("/analytics/reconciliation/findings"))["findings"]
    assert {one["signature"] for one in findings if one["kind"] == "latePayment"} == doubtful


async def test_merchants_see_their_own_payments_and_admins_all(vendor):
    rival = await Vendor(vendor.api, vendor.pool, user="rival").open()
    transaction = await vendor.paid(10_000)
    await book(vendor.pool, vendor.buyer.pubkey(), rival.wallet, 20_000, signature=transaction, path="1")
    proof = vendor.proof(transaction)
    assert (await vendor.client.verify(proof)).code == "VALID"
    for client, amounts in ((vendor.client, ["10000"]), (rival.client, ["20000"])):
        for path in ("/payments", f"/payments/{transaction}"):
            assert [one["amountBaseUnits"] for one in (await client.get(path))["payments"]] == amounts
    (own,) = (await vendor.client.get("/payments"))["payments"]
    assert (own["claim"]["nonce"], own["claim"]["status"]) == (proof["nonce"], "confirmed")
    admin = vendor.api.holding(await key_for(vendor.pool, "operations", ("admin",)))
    assert len((await admin.get(f"/payments/{transaction}"))["payments"]) == 2
    stranger = vendor.api.holding(await key_for(vendor.pool, "stranger"))
    assert (await stranger.get(f"/payments/{transaction}")).code == "NOT_FOUND"
    assert (await stranger.get("/payments"))["payments"] == []
