"""Refunds that were noted by mistake are withdrawn, but not where a payment over x402 has failed by one."""

import asyncio

import pytest

from ledger.findings import GIVEN_BACK, find_finding, withdraw_refund
from ledger.settlements import FailureReason, fail
from tests.support.api_client import key_for
from tests.support.findings import FINDINGS, events, given_back, listed, refunded, withdrawal
from tests.support.ledger_checks import somebody_waits
from tests.support.ledger_rows import Vendor, new_signature
from tests.support.reconciling import reconcile
from tests.support.settlement_rows import reserved
from tests.support.small_ledger import Merchant


@pytest.fixture
async def rival(vendor, pool):
    return await Vendor(vendor.api, pool, "rival").open()


@pytest.mark.parametrize("back", [10_000, 1], ids=["whole", "in part"])
async def test_a_refund_that_was_noted_by_mistake_is_withdrawn_and_the_payment_claimed(
    vendor, pool, database_url, back
):
    paid, refund = await refunded(vendor, pool, database_url, back)
    (found,) = await listed(vendor.client)
    proof = vendor.proof(paid, "0.01")
    # Refused while it stands: that is not for ever.
    assert (await vendor.client.verify(proof)).code == "REPLAY_ATTACK"
    seen = await vendor.client.get(f"{FINDINGS}/{found['id']}")
    assert "pays for nothing any more" in seen["refundEffect"]
    answers = await asyncio.gather(*(vendor.client.post(withdrawal(found), {"signature": refund}) for _ in range(5)))
    assert {answer.status for answer in answers} == {200}
    seen = await vendor.client.get(f"{FINDINGS}/{found['id']}")
    assert (seen["state"], seen["refundedBaseUnits"], seen["refundEffect"]) == ("open", "0", None)
    (decision,) = seen["decisions"]
    assert (decision["action"], decision["withdrawnBy"]) == ("withdrawn", "merchant")
    kinds = [kind for kind, *_ in await events(pool)]
    assert kinds == ["finding.refunded", "finding.refund_withdrawn"]
    assert (await vendor.client.verify(proof)).code == "VALID"


async def test_a_withdrawn_refund_may_be_noted_again_or_where_it_belongs(vendor, pool, database_url):
    for _ in range(2):
        await vendor.paid(5_000_000)
    await reconcile(database_url)
    wrong, right = await listed(vendor.client)
    back = await given_back(vendor, pool, 5_000_000)
    body = {"signature": back}
    for found in (wrong, right, right):
        assert (await vendor.client.post(f"{FINDINGS}/{found['id']}/refund", body)).status == 200
        other = wrong if found is right else right
        assert (await vendor.client.post(withdrawal(other), body)).status == (200 if other is wrong else 409)
        assert (await vendor.client.post(withdrawal(found), body)).status == 200
    assert (await vendor.client.post(f"{FINDINGS}/{right['id']}/refund", body)).status == 200
    (given,) = await listed(vendor.client, state="refunded")
    assert given["id"] == right["id"]
    assert (await vendor.client.post(withdrawal(right), {"signature": new_signature()})).status == 409


@pytest.mark.parametrize("which", ["what was given back", "what gave it back"])
async def test_a_refund_by_which_a_payment_over_x402_has_failed_stays(vendor, pool, database_url, which):
    paid, refund = await refunded(vendor, pool, database_url, 10_000)
    (found,) = await listed(vendor.client)
    one = await settled_by(vendor, pool, paid if which == "what was given back" else refund)
    assert await fail(pool, one, reason=FailureReason.PAID_ANOTHER, detail=GIVEN_BACK, slot=100)
    refused = await vendor.client.post(withdrawal(found), {"signature": refund})
    assert (refused.status, refused.code) == (409, "CONFLICT")
    assert (await listed(vendor.client))[0]["state"] == "refunded"
    assert [kind for kind, *_ in await events(pool)] == ["finding.refunded"]


async def settled_by(vendor, pool, signature):
    """An open payment over x402, noted as a refund or refunded by a version that let that happen; returns its id."""
    _, one = await reserved(pool, Merchant("merchant", vendor.wallet), signature=signature)
    return one


FAIL = """
UPDATE settlements SET status = 'failed', reason = 'paid_another', detail = $2, decided_at = now() WHERE id = $1
"""


@pytest.mark.parametrize("which", ["what was given back", "what gave it back"])
async def test_a_withdrawal_waits_for_a_payment_that_fails_by_it(vendor, pool, database_url, which):
    paid, refund = await refunded(vendor, pool, database_url, 10_000)
    (found,) = await listed(vendor.client)
    one = await settled_by(vendor, pool, paid if which == "what was given back" else refund)
    async with pool.acquire() as other:
        failing = other.transaction()
        await failing.start()
        await other.execute(FAIL, one, GIVEN_BACK)
        withdrawing = asyncio.create_task(vendor.client.post(withdrawal(found), {"signature": refund}))
        await somebody_waits(pool)
        await failing.commit()
    assert (await withdrawing).status == 409
    assert (await listed(vendor.client))[0]["state"] == "refunded"


async def test_a_payment_that_is_to_fail_by_a_refund_waits_for_its_withdrawal(vendor, pool, database_url):
    paid, refund = await refunded(vendor, pool, database_url, 10_000)
    (found,) = await listed(vendor.client)
    one = await settled_by(vendor, pool, paid)
    finding = await find_finding(pool, found["id"], None)
    async with pool.acquire() as other:
        withdrawing = other.transaction()
        await withdrawing.start()
        assert await withdraw_refund(other, finding, refund, by="merchant") == "withdrawn"
        failing = asyncio.create_task(fail(pool, one, reason=FailureReason.PAID_ANOTHER, detail=GIVEN_BACK, slot=100))
        await somebody_waits(pool)
        await withdrawing.commit()
    assert not await failing
    assert await pool.fetchval("SELECT status::text FROM settlements") == "signed"


async def test_whose_finding_it_is_not_withdraws_nothing(vendor, pool, database_url, rival):
    _, refund = await refunded(vendor, pool, database_url, 10_000)
    (found,) = await listed(vendor.client)
    reader = vendor.api.holding(await key_for(pool, permissions=["read"]))
    tester = vendor.api.holding(await key_for(pool, environment="test"))
    for who, status in ((rival.client, 404), (reader, 403), (tester, 403), (vendor.api, 401)):
        assert (await who.post(withdrawal(found), {"signature": refund})).status == status
    assert (await listed(vendor.client))[0]["state"] == "refunded"
