"""Findings of a reconciliation: whose they are, what was decided, and what the chain shows was given back."""

import asyncio

import pytest
from solders.keypair import Keypair

from ledger.findings import find_finding, note_refund
from ledger.tokens import NATIVE_SOL
from tests.support.api_client import key_for
from tests.support.findings import FINDINGS, events, given_back, listed, refunded, unmatched
from tests.support.ledger_rows import Vendor, book, new_signature
from tests.support.reconciling import reconcile
from tests.support.settlement_rows import reserved
from tests.support.small_ledger import Merchant


@pytest.fixture
async def rival(vendor, pool):
    return await Vendor(vendor.api, pool, "rival").open()


async def test_without_a_report_there_are_no_findings(vendor):
    seen = await vendor.client.get(FINDINGS)
    assert (seen["findings"], seen["counts"], seen["nextCursor"]) == ([], {}, None)


async def test_each_kind_is_found_with_its_meaning_and_what_can_be_given_back(vendor, pool, database_url):
    await vendor.paid(1)  # nobody claims it
    short = await vendor.requested(1_000)
    await vendor.paid(400, memos=[short["nonce"]])
    late = await vendor.requested(2_000, seconds=-60)
    await vendor.paid(2_000, memos=[late["nonce"]])
    over = await vendor.paid(3_500)
    assert (await vendor.client.verify(vendor.proof(over, "0.003"))).code == "VALID"
    twice = await vendor.requested(4_000)
    for _ in range(2):
        last = await vendor.paid(4_000, memos=[twice["nonce"]])
    assert (await vendor.client.verify(vendor.proof(last, "0.004", nonce=twice["nonce"]))).code == "VALID"
    await vendor.client.verify(vendor.proof(new_signature(), "0.005"))
    await reconcile(database_url)
    found = await listed(vendor.client)
    back = {}
    for one in found:
        back.setdefault(one["kind"], set()).add(int(one["refundableBaseUnits"]))
        assert one["meaning"].endswith(".")
        assert one["advice"].endswith(".")
        assert one["state"] == "open"
    assert back == {
        "unmatchedTransfer": {1, 400, 2_000, 4_000},
        "shortPayment": {400},
        "latePayment": {2_000},
        "overPayment": {500},
        "duplicatePayment": {4_000},
        "unpaidClaim": {0},
    }
    assert len({one["id"] for one in found}) == len(found)
    for kind in back:
        assert {one["kind"] for one in await listed(vendor.client, kind=kind)} == {kind}


async def test_the_pages_together_are_the_list(vendor, pool, database_url):
    for n in range(25):
        await vendor.paid(100 + n, block_time=None)
    await reconcile(database_url)
    whole = [one["id"] for one in await listed(vendor.client, limit=500)]
    paged, cursor = [], ""
    while cursor is not None:
        seen = await vendor.client.get(f"{FINDINGS}?limit=10{cursor and f'&cursor={cursor}'}")
        paged += [one["id"] for one in seen["findings"]]
        cursor = seen["nextCursor"]
    assert paged == whole
    assert len(whole) == 25
    assert (await vendor.client.get(f"{FINDINGS}?cursor=nonsense")).status == 400


async def test_accepting_is_said_once_and_stands_in_the_next_report(vendor, pool, database_url):
    found = await unmatched(vendor, pool, database_url)
    address = f"{FINDINGS}/{found['id']}/accept"
    answers = await asyncio.gather(*(vendor.client.post(address, {"note": "a tip"}) for _ in range(5)))
    assert {(one.status, one["state"]) for one in answers} == {(200, "accepted")}
    assert await events(pool) == [("finding.accepted", "merchant", "merchant")]
    await reconcile(database_url)
    assert await listed(vendor.client, state="open") == []
    (still,) = await listed(vendor.client, state="accepted")
    assert still["id"] == found["id"]
    assert (await vendor.client.get(FINDINGS))["counts"]["unmatchedTransfer"] == {"found": 1, "open": 0}


async def test_a_note_changes_nothing_and_is_kept_once(vendor, pool, database_url):
    found = await unmatched(vendor, pool, database_url)
    for text in ("asked the payer", "asked the payer", "no answer"):
        seen = await vendor.client.post(f"{FINDINGS}/{found['id']}/note", {"note": text})
        assert (seen.status, seen["state"]) == (200, "open")
    assert [one["note"] for one in seen["decisions"]] == ["asked the payer", "no answer"]
    assert [kind for kind, *_ in await events(pool)] == ["finding.noted"] * 2
    for wrong in ({}, {"note": ""}, {"note": "x" * 2_001}, {"note": "a\0b"}):
        assert (await vendor.client.post(f"{FINDINGS}/{found['id']}/note", wrong)).status == 400


async def test_notes_are_bounded(vendor, pool, database_url):
    found = await unmatched(vendor, pool, database_url)
    for n in range(100):
        assert (await vendor.client.post(f"{FINDINGS}/{found['id']}/note", {"note": f"{n}"})).status == 200
    assert (await vendor.client.post(f"{FINDINGS}/{found['id']}/note", {"note": "one more"})).status == 409
    assert (await vendor.client.post(f"{FINDINGS}/{found['id']}/note", {"note": "7"})).status == 200
    assert (await vendor.client.post(f"{FINDINGS}/{found['id']}/accept", {})).status == 409
    assert await pool.fetchval("SELECT count(*) FROM finding_decisions") == 100


async def test_a_refund_is_what_the_chain_shows_and_counts_once(vendor, pool, database_url):
    found = await unmatched(vendor, pool, database_url)
    address = f"{FINDINGS}/{found['id']}"
    link = (await vendor.client.get(address))["solanaPayUrl"]
    assert link.startswith(f"solana:{vendor.buyer.pubkey()}?amount=5&spl-token={found['mint']}&memo=refund%20of%20")
    part = await given_back(vendor, pool, 2_000_000)
    (offered,) = (await vendor.client.get(address))["transfersBack"]
    assert (offered["signature"], offered["isFinal"]) == (part, True)
    answers = await asyncio.gather(*(vendor.client.post(f"{address}/refund", {"signature": part}) for _ in range(5)))
    assert {one.status for one in answers} == {200}
    seen = await vendor.client.get(address)
    assert (seen["state"], seen["refundedBaseUnits"], seen["transfersBack"]) == ("open", "2000000", [])
    assert "?amount=3&" in seen["solanaPayUrl"]
    rest = await given_back(vendor, pool, 3_000_000)
    seen = await vendor.client.post(f"{address}/refund", {"signature": rest, "note": "the rest"})
    assert (seen["state"], seen["refundedBaseUnits"], seen["solanaPayUrl"]) == ("refunded", "5000000", None)
    assert await events(pool) == [("finding.refunded", "merchant", "merchant")] * 2
    assert (await vendor.client.post(f"{address}/accept", {})).status == 409
    assert await pool.fetchval("SELECT count(*) FROM payouts") == 0
    assert [one["note"] for one in seen["decisions"]] == [None, "the rest"]


async def test_what_gives_nothing_back_is_no_refund(vendor, pool, database_url):
    found = await unmatched(vendor, pool, database_url)
    address = f"{FINDINGS}/{found['id']}/refund"
    stranger = str(new_signature())[:44]
    buyer = vendor.buyer.pubkey()
    honoured = await given_back(vendor, pool, 5_000_000)
    await pool.execute(
        """
        INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount,
          least_amount, received, status)
        SELECT 'buyer', 'theirs', signature, path, source_owner, destination_owner, mint, 'USDC', amount, amount,
          amount, 'finalized'
        FROM transfers WHERE signature = $1
        """,
        honoured,
    )
    # The buyer sells too, and this may be what somebody pays for that.
    shop = await Vendor(vendor.api, pool, "buyer", str(buyer)).open()
    asked = await shop.requested(5_000_000)
    wrong = {
        "names the buyer's request": await given_back(vendor, pool, 5_000_000, memos=[asked["nonce"]]),
        "names its reference": await given_back(vendor, pool, 5_000_000, reference_keys=[asked["reference"]]),
        "unknown": new_signature(),
        "the payment itself": found["signature"],
        "not final": await given_back(vendor, pool, 5_000_000, finality="confirmed"),
        "undone": await given_back(vendor, pool, 5_000_000, finality="orphaned"),
        "earlier": await given_back(vendor, pool, 5_000_000, slot=99),
        "another token": await given_back(vendor, pool, 5_000_000, mint=NATIVE_SOL),
        "to a stranger": await book(pool, vendor.wallet, stranger, 5_000_000, slot=200, finality="finalized"),
        "from a stranger": await book(pool, stranger, buyer, 5_000_000, slot=200, finality="finalized"),
        "no payment": await given_back(vendor, pool, 5_000_000, kind="mintTo"),
        "payment for something": honoured,
    }
    for what, signature in wrong.items():
        refused = await vendor.client.post(address, {"signature": signature})
        assert (refused.status, refused.code) == (409, "CONFLICT"), what
    assert (await vendor.client.get(f"{FINDINGS}/{found['id']}"))["state"] == "open"
    assert await events(pool) == []


async def test_one_transfer_gives_back_one_payment(vendor, pool, database_url):
    for _ in range(2):
        await vendor.paid(5_000_000)
    await reconcile(database_url)
    one, other = await listed(vendor.client)
    back = await given_back(vendor, pool, 5_000_000)
    answers = await asyncio.gather(
        *(vendor.client.post(f"{FINDINGS}/{found['id']}/refund", {"signature": back}) for found in (one, other))
    )
    assert sorted(answer.status for answer in answers) == [200, 409]
    assert len(await listed(vendor.client, state="refunded")) == 1


async def test_what_gives_a_payment_back_counts_for_every_finding_about_it(vendor, pool, database_url):
    asked = await vendor.requested(2_000, seconds=-60)
    await vendor.paid(2_000, memos=[asked["nonce"]])
    await reconcile(database_url)
    found = await listed(vendor.client)
    assert {one["kind"] for one in found} == {"unmatchedTransfer", "latePayment"}
    back = await given_back(vendor, pool, 2_000)
    assert (await vendor.client.post(f"{FINDINGS}/{found[0]['id']}/refund", {"signature": back})).status == 200
    for one in found:
        seen = await vendor.client.get(f"{FINDINGS}/{one['id']}")
        assert (seen["state"], seen["refundedBaseUnits"]) == ("refunded", "2000")
        assert len(seen["decisions"]) == 1


async def test_another_amount_is_another_finding(vendor, pool, database_url):
    """A payment that lands again with another amount is not what was accepted."""
    found = await unmatched(vendor, pool, database_url)
    await vendor.client.post(f"{FINDINGS}/{found['id']}/accept", {})
    await pool.execute("UPDATE transfers SET amount = 6000000")
    await reconcile(database_url)
    (anew,) = await listed(vendor.client)
    assert (anew["state"], anew["amountBaseUnits"]) == ("open", "6000000")


async def test_whose_finding_it_is_not_sees_and_decides_nothing(vendor, pool, database_url, rival):
    found = await unmatched(vendor, pool, database_url)
    assert await listed(rival.client) == []
    reader = vendor.api.holding(await key_for(pool, permissions=["read"]))
    assert len(await listed(reader)) == 1
    address = f"{FINDINGS}/{found['id']}"
    back = await given_back(vendor, pool, 5_000_000)
    bodies = {"accept": {}, "note": {"note": "mine"}, "refund": {"signature": back}}
    for action, body in bodies.items():
        assert (await rival.client.post(f"{address}/{action}", body)).status == 404
        assert (await reader.post(f"{address}/{action}", body)).status == 403
        assert (await vendor.api.post(f"{address}/{action}", body)).status == 401
    assert (await rival.client.get(address)).status == 404
    assert (await rival.client.get(f"{FINDINGS}/{'0' * 32}")).status == 404
    assert await pool.fetchval("SELECT count(*) FROM finding_decisions") == 0
    admin = vendor.api.holding(await key_for(pool, "operations", ("read", "write", "admin")))
    assert (await admin.post(f"{address}/accept", {})).status == 200
    assert await events(pool) == [("finding.accepted", "merchant", "operations")]


async def test_a_test_key_decides_nothing_about_live_wallets(vendor, pool, database_url):
    found = await unmatched(vendor, pool, database_url)
    address = f"{FINDINGS}/{found['id']}"
    for permissions, user in ((("read", "write"), "merchant"), (("read", "write", "admin"), "operations")):
        trying = vendor.api.holding(await key_for(pool, user, permissions, environment="test"))
        for action, body in {"accept": {}, "note": {"note": "x"}, "refund": {"signature": new_signature()}}.items():
            assert (await trying.post(f"{address}/{action}", body)).status == 403
    assert await pool.fetchval("SELECT count(*) FROM finding_decisions") == 0
    await pool.execute("UPDATE recipients SET environment = 'test'")
    assert (await trying.post(f"{address}/accept", {})).status == 200


@pytest.mark.parametrize("back", [10_000, 1], ids=["whole", "in part"])
@pytest.mark.parametrize("by", ["a nonce of its own", "a payment request made later"])
async def test_what_was_given_back_pays_for_nothing(vendor, pool, database_url, by, back):
    paid, _ = await refunded(vendor, pool, database_url, back)
    names = {} if by == "a nonce of its own" else {"nonce": (await vendor.requested())["nonce"]}
    assert (await vendor.client.verify(vendor.proof(paid, "0.01", **names))).code == "REPLAY_ATTACK"
    assert await pool.fetchval("SELECT count(*) FROM transactions WHERE claim_holds_transfer(status)") == 0


async def test_what_gave_a_payment_back_pays_for_nothing_else(vendor, pool, database_url):
    keypair = Keypair()
    seller = await Vendor(vendor.api, pool, "seller", str(keypair.pubkey())).open()
    _, back = await refunded(seller, pool, database_url, 10_000)
    shop = await Vendor(vendor.api, pool, "payer", str(seller.buyer.pubkey()), keypair).open()
    assert (await shop.client.verify(shop.proof(back, "0.01"))).code == "REPLAY_ATTACK"


async def test_a_payment_over_x402_gives_nothing_back(vendor, pool, database_url):
    """Be it under way, or failed by what was noted before: its buyer is answered by what became of it."""
    found = await unmatched(vendor, pool, database_url, 10_000)
    back = await given_back(vendor, pool, 10_000)
    shop = await Vendor(vendor.api, pool, "payer", str(vendor.buyer.pubkey())).open()
    await reserved(pool, Merchant("payer", shop.wallet), signature=back)
    seen = await vendor.client.get(f"{FINDINGS}/{found['id']}")
    assert seen["transfersBack"] == []
    assert (await vendor.client.post(f"{FINDINGS}/{found['id']}/refund", {"signature": back})).status == 409


async def test_the_database_lets_no_claim_take_what_was_given_back(vendor, pool, database_url):
    """As for a claim that was judged before the refund was noted, and is written after it."""
    for signature in await refunded(vendor, pool, database_url, 10_000):
        await pool.execute(
            """
            INSERT INTO transactions (
              user_id, nonce, signature, path, payer, recipient, mint, currency, amount, least_amount, received,
              environment, status, "timestamp", honoured_at, settled_at
            )
            SELECT 'merchant', 'a nonce of its own', signature, path, source_owner, destination_owner, mint, 'USDC',
              amount, amount, amount, 'live', 'finalized', now(), now(), now()
            FROM transfers WHERE signature = $1
            """,
            signature,
        )
    assert await pool.fetchval("SELECT count(*) FROM transactions") == 0


async def test_a_claim_and_a_refund_at_once_wait_for_each_other(vendor, pool, database_url):
    """Whichever comes second finds what the first has done: no claim is made beside a refund that it did not see."""
    found = await unmatched(vendor, pool, database_url, 10_000)
    back = await given_back(vendor, pool, 10_000)
    async with pool.acquire() as other:
        noting = other.transaction()
        await noting.start()
        finding = await find_finding(pool, found["id"], None)
        assert await note_refund(other, finding, back, note=None, by="merchant")
        claiming = asyncio.create_task(vendor.client.verify(vendor.proof(found["signature"], "0.01")))
        await asyncio.sleep(0.5)
        assert not claiming.done()
        await noting.commit()
    assert (await claiming).code == "REPLAY_ATTACK"
    assert await pool.fetchval("SELECT count(*) FROM transactions") == 0
