"""Which mints are the token that is asked for: one answer, whether the payment is there when asked, or comes later."""

import pytest

from chain.programs import SYSTEM_PROGRAM, TOKEN_PROGRAM
from ledger.tokens import NATIVE_SOL, WRAPPED_SOL_MINT
from tests.support.job_shop import fast_settings
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import book, new_signature
from worker.claims.decide import reconcile
from worker.context import open_worker_context

PAID = {
    "native": {"mint": NATIVE_SOL, "kind": "nativeTransfer", "program": SYSTEM_PROGRAM},
    "wrapped": {"mint": WRAPPED_SOL_MINT, "program": TOKEN_PROGRAM},
}
ASKED = {
    "SOL": {"currency": "SOL"},
    "the mint of native SOL": {"currency": None, "mint": NATIVE_SOL},
    "the mint of wrapped SOL": {"currency": None, "mint": WRAPPED_SOL_MINT},
}
REFUSED = {("the mint of wrapped SOL", "native")}


@pytest.fixture
async def context(database_url, net):
    async with open_worker_context(fast_settings(), database_url, [net.rpc_url]) as opened:
        yield opened


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("paid", PAID)
async def test_a_token_has_the_same_mints_for_the_api_and_for_the_worker(vendor, context, asked, paid):
    code = "CURRENCY_MISMATCH" if (asked, paid) in REFUSED else None
    there = await vendor.paid(30_000_000, **PAID[paid])
    assert (await vendor.client.verify(vendor.proof(there, "0.03", **ASKED[asked]))).code == (code or "VALID")

    later = vendor.proof(new_signature(), "0.03", **ASKED[asked])
    assert (await vendor.client.verify(later)).code == "PAYMENT_PENDING"
    await book(vendor.pool, later["payer"], vendor.wallet, 30_000_000, signature=later["transactionId"], **PAID[paid])

    async def decided():
        await reconcile(context)
        claim = await vendor.claim(later["nonce"])
        return claim if claim["status"] != "pending" else None

    claim = await eventually(decided)
    assert (claim["status"], claim["code"]) == (("failed", code) if code else ("confirmed", None))
