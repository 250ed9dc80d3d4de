"""Payments over x402 in the ledger: reserved once and within budgets, settled by the transfer, answered once."""

import asyncio
import dataclasses
import datetime as dt

import asyncpg
import pytest

from ledger import settlements
from ledger.claims import Match, claim_settled, follow_transfers, honour_matches
from ledger.invariants import check_invariants
from ledger.payment_requests import create_request, find_request
from ledger.settlements import BudgetUse, FailureReason, FeeBudgets, reserve
from tests.support.settlement_rows import AMPLE, LAMPORTS, PAYER, give_back, land, reserved, signed_payment
from tests.support.small_ledger import USDC, USDT, add_merchant, address


@pytest.fixture
async def merchant(pool):
    return await add_merchant(pool, "merchant", 10)


async def requested(pool, merchant, amount=1_000, **terms):
    expires_at = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5)
    fields = {"mint": USDC, "currency": "USDC", "resource": "report", "reference": address(77), **terms}
    return await create_request(
        pool, user_id=merchant.user, recipient=merchant.wallet, amount=amount, expires_at=expires_at, **fields
    )


async def begin_answer(pool, found, *, answering_seconds):
    (begun,) = await settlements.begin_answers(pool, [found], answering_seconds=answering_seconds)
    return begun


async def claims(pool):
    return await pool.fetch('SELECT * FROM transactions ORDER BY "timestamp"')


async def test_a_message_is_reserved_once_whoever_asks_at_once(pool, merchant):
    payment = signed_payment(merchant)
    found = await asyncio.gather(*(reserve(pool, payment, AMPLE) for _ in range(20)))
    assert len([one for one in found if one is not None]) == 1
    rows = await pool.fetch("SELECT scope, subject, lamports FROM settlement_budgets ORDER BY scope")
    assert [tuple(row) for row in rows] == [
        ("all", "", LAMPORTS), ("merchant", "merchant", LAMPORTS), ("payer", PAYER, LAMPORTS),
    ]  # fmt: skip
    assert await pool.fetchval("SELECT count(*) FROM events WHERE type = 'x402.signed'") == 1


@pytest.mark.parametrize("scope", ["day", "merchant", "payer"])
async def test_budgets_hold_whoever_reserves_at_once(pool, merchant, scope):
    budgets = dataclasses.replace(AMPLE, **{f"lamports_of_{scope}_max": 3 * LAMPORTS + 5})
    found = await asyncio.gather(
        *(reserve(pool, signed_payment(merchant), budgets) for _ in range(12)), return_exceptions=True
    )
    refused = [one for one in found if isinstance(one, asyncpg.CheckViolationError)]
    assert len(found) - len(refused) == 3
    assert {settlements.exceeded_budget(one.constraint_name) for one in refused} == {"all" if scope == "day" else scope}
    assert await pool.fetchval("SELECT count(*) FROM settlements") == 3
    assert await pool.fetchval("SELECT max(lamports) FROM settlement_budgets") == 3 * LAMPORTS


async def test_what_has_no_key_uses_up_a_part_of_the_budget_for_all_and_none_of_a_merchants(pool, merchant):
    other = await add_merchant(pool, "other", 20)
    budgets = FeeBudgets(10 * LAMPORTS, 10 * LAMPORTS, 10**9, keyless_percent=50)
    refused = []
    for number in range(10):
        try:
            await reserve(pool, signed_payment((merchant, other)[number % 2], has_key=False), budgets)
        except asyncpg.CheckViolationError as error:
            refused.append(settlements.exceeded_budget(error.constraint_name))
    assert refused == [settlements.BudgetScope.KEYLESS] * 5
    for _ in range(5):
        await reserved(pool, merchant, budgets=budgets)
    with pytest.raises(asyncpg.CheckViolationError) as exceeded:
        await reserve(pool, signed_payment(merchant), budgets)
    assert exceeded.value.constraint_name == "settlement_budget_all"


async def test_what_has_no_key_uses_up_a_part_as_large_as_one_of_a_merchants(pool, merchant):
    budgets = FeeBudgets(10**9, 4 * LAMPORTS, 10**9, keyless_percent=50)
    found = await asyncio.gather(
        *(reserve(pool, signed_payment(merchant, has_key=False), budgets) for _ in range(6)), return_exceptions=True
    )
    refused = [one for one in found if isinstance(one, asyncpg.CheckViolationError)]
    assert {one.constraint_name for one in refused} == {"settlement_budget_keyless_merchant"}
    assert len(refused) == 4
    for _ in range(4):
        await reserved(pool, merchant, budgets=budgets)


async def test_budgets_of_others_are_theirs(pool, merchant):
    other = await add_merchant(pool, "other", 20)
    budgets = FeeBudgets(10**9, LAMPORTS, LAMPORTS)
    await reserved(pool, merchant, budgets=budgets)
    await reserved(pool, other, budgets=budgets, payer=address(202))


async def test_nothing_is_reserved_for_a_wallet_that_is_not_the_merchants_or_not_followed(pool, merchant):
    assert await reserve(pool, signed_payment(merchant, user_id="somebody"), AMPLE) is None
    await pool.execute("UPDATE recipients SET active = false, removed_at = now()")
    assert await reserve(pool, signed_payment(merchant), AMPLE) is None
    assert await pool.fetchval("SELECT count(*) FROM settlement_budgets") == 0


async def test_an_identifier_is_one_payments_of_its_merchant(pool, merchant):
    other = await add_merchant(pool, "other", 20)
    await reserved(pool, merchant, payment_identifier="an-identifier-of-theirs")
    assert await reserve(pool, signed_payment(merchant, payment_identifier="an-identifier-of-theirs"), AMPLE) is None
    await reserved(pool, other, payment_identifier="an-identifier-of-theirs")


async def test_what_the_ledger_has_is_settled_by_a_claim(pool, merchant):
    payment, found = await reserved(pool, merchant)
    assert await claim_settled(pool, [found]) == frozenset()
    await land(pool, payment)
    assert await claim_settled(pool, [found]) == {found}
    assert await claim_settled(pool, [found]) == frozenset()
    settled = await settlements.find_by_message(pool, payment.message_hash)
    assert (settled.status, settled.claim_status, settled.slot, settled.reason) == ("settled", "confirmed", 7, None)
    (claim,) = await claims(pool)
    assert (claim["payer"], claim["recipient"], claim["received"], claim["currency"], claim["resource"]) == (
        PAYER, merchant.wallet, 1_000, "USDC", "https://shop.example/report",
    )  # fmt: skip
    assert claim["nonce"].startswith("402pay ")
    assert claim["answered_at"] is not None
    assert await check_invariants(pool) == []


UNFIT = {
    "another amount": {"amount": 999},
    "another token": {"mint": USDT},
    "another wallet": {"destination_owner": address(90)},
    "another account": {"destination": address(91)},
    "another authority": {"authority": address(92)},
    "an inner instruction": {"path": "2.0"},
    "undone": {"finality": "orphaned"},
    "seen by one node alone": {"awaits_witness_since": dt.datetime.now(dt.UTC)},
    "nothing credited": {"fee": 1_000},
}


@pytest.mark.parametrize("case", UNFIT)
async def test_no_other_transfer_settles_it(pool, merchant, case):
    payment, found = await reserved(pool, merchant)
    await land(pool, payment, **UNFIT[case])
    assert await claim_settled(pool, [found]) == frozenset()
    assert await claims(pool) == []


async def test_what_must_be_final_waits_for_that(pool, merchant):
    payment, found = await reserved(pool, merchant, final_only=True)
    await land(pool, payment)
    assert await claim_settled(pool, [found]) == frozenset()
    await pool.execute("UPDATE transfers SET finality = 'finalized'")
    assert await claim_settled(pool, [found]) == {found}


async def test_a_token_with_a_fee_of_its_own_credits_less(pool, merchant):
    payment, found = await reserved(pool, merchant)
    await land(pool, payment, fee=10)
    assert await claim_settled(pool, [found]) == {found}
    assert (await claims(pool))[0]["received"] == 990
    assert await check_invariants(pool) == []


async def test_a_memo_that_is_a_payment_requests_nonce_pays_it(pool, merchant):
    request = await requested(pool, merchant)
    payment, found = await reserved(pool, merchant, memo=request.nonce)
    await land(pool, payment, memos=[request.nonce])
    assert await claim_settled(pool, [found]) == {found}
    _, claim = await find_request(pool, request.nonce)
    assert claim.is_honoured
    assert claim.signature == payment.signature
    (row,) = await claims(pool)
    assert (row["nonce"], row["for_request"], row["resource"]) == (request.nonce, True, "report")
    # Its answer is ours: no proof is answered with yes for it.
    assert row["answered_at"] is not None


async def test_a_payment_request_is_reserved_by_one_payment(pool, merchant):
    request = await requested(pool, merchant)
    _, found = await reserved(pool, merchant, memo=request.nonce)
    assert await reserve(pool, signed_payment(merchant, memo=request.nonce), AMPLE) is None
    assert await settlements.fail(pool, found, reason=FailureReason.NEVER_LANDED, detail=None)
    await reserved(pool, merchant, memo=request.nonce)


@pytest.mark.parametrize("case", ["paid otherwise", "expired", "short"])
async def test_a_payment_whose_request_cannot_take_it_is_settled_all_the_same(pool, merchant, case):
    request = await requested(pool, merchant, 1_000_000 if case == "short" else 1_000)
    payment, found = await reserved(pool, merchant, memo=request.nonce)
    if case == "paid otherwise":
        earlier = signed_payment(merchant)
        await land(pool, earlier)
        assert await honour_matches(pool, [Match(request.nonce, earlier.signature, "2", PAYER, 1_000, None)]) == 1
    if case == "expired":
        await pool.execute("UPDATE nonces SET expires_at = now() - interval '1 minute'")
    await land(pool, payment, memos=[request.nonce])
    assert await claim_settled(pool, [found]) == {found}
    (nonce,) = [row["nonce"] for row in await claims(pool) if row["signature"] == payment.signature]
    assert nonce.startswith("402pay ")


async def test_a_request_that_was_matched_by_its_memo_is_taken_over(pool, merchant):
    """The worker looks at memos too, and may be quicker."""
    request = await requested(pool, merchant)
    payment, found = await reserved(pool, merchant, memo=request.nonce)
    await land(pool, payment, memos=[request.nonce])
    assert await honour_matches(pool, [Match(request.nonce, payment.signature, "2", PAYER, 1_000, None)]) == 1
    assert await claim_settled(pool, [found]) == {found}
    (claim,) = await claims(pool)
    assert claim["answered_at"] is not None
    assert (await settlements.find_by_id(pool, found)).answered_at is None


async def test_a_transfer_that_was_answered_elsewhere_is_not_answered_here(pool, merchant):
    """Its payer has proved it at POST /verify before we could claim it: it has paid for something already."""
    request = await requested(pool, merchant)
    payment, found = await reserved(pool, merchant, memo=request.nonce)
    await land(pool, payment, memos=[request.nonce])
    await honour_matches(pool, [Match(request.nonce, payment.signature, "2", PAYER, 1_000, None)])
    await pool.execute("UPDATE transactions SET answered_at = now()")
    assert await claim_settled(pool, [found]) == {found}
    assert (await settlements.find_by_id(pool, found)).answered_at is not None
    assert not await begin_answer(pool, found, answering_seconds=0)


async def test_an_answer_is_begun_by_one_and_again_when_that_one_died(pool, merchant):
    payment, found = await reserved(pool, merchant)
    assert not await begin_answer(pool, found, answering_seconds=60)
    await land(pool, payment)
    await claim_settled(pool, [found])
    begun = await asyncio.gather(*(begin_answer(pool, found, answering_seconds=60) for _ in range(10)))
    assert sum(begun) == 1
    assert await begin_answer(pool, found, answering_seconds=0)
    await settlements.give_up_answer(pool, found)
    assert await begin_answer(pool, found, answering_seconds=60)
    await settlements.end_answers(pool, [found])
    assert not await begin_answer(pool, found, answering_seconds=0)


async def test_what_failed_is_settled_when_the_ledger_has_it_after_all(pool, merchant):
    payment, found = await reserved(pool, merchant)
    assert await settlements.fail(pool, found, reason=FailureReason.NEVER_LANDED, detail="it never landed")
    assert not await settlements.fail(pool, found, reason=FailureReason.FAILED_ON_CHAIN, detail=None)
    await land(pool, payment)
    assert await settlements.settlements_with_transfers(pool, limit=10) == [found]
    assert await claim_settled(pool, [found]) == {found}
    assert (await settlements.find_by_id(pool, found)).reason is None


async def test_what_the_ledger_has_does_not_fail(pool, merchant):
    payment, found = await reserved(pool, merchant)
    await land(pool, payment)
    assert not await settlements.fail(pool, found, reason=FailureReason.NEVER_LANDED, detail=None)
    await claim_settled(pool, [found])
    assert not await settlements.fail(pool, found, reason=FailureReason.NEVER_LANDED, detail=None)


@pytest.mark.parametrize("case", ["moves nothing", "given back"])
async def test_what_the_ledger_has_fails_where_it_can_settle_nothing(pool, merchant, case):
    payment, found = await reserved(pool, merchant)
    await land(pool, payment, **({"source_owner": merchant.wallet} if case == "moves nothing" else {}))
    if case == "given back":
        await give_back(pool, payment.signature)
    assert await claim_settled(pool, [found]) == frozenset()
    assert await settlements.settlements_with_transfers(pool, limit=10) == []
    (one,) = await settlements.open_settlements(pool, older_seconds=0, limit=10)
    assert (one.is_indexed, one.is_given_back) == (True, case == "given back")
    assert await settlements.fail(pool, found, reason=FailureReason.PAID_ANOTHER, detail="why", slot=7)
    assert await settlements.settlements_with_transfers(pool, limit=10) == []
    assert await check_invariants(pool) == []


async def test_the_budget_that_is_nearer_its_end_is_watched(pool, merchant):
    budgets = FeeBudgets(10 * LAMPORTS, 10**12, 10**12, keyless_percent=40)
    assert await settlements.budget_of_day(pool) is None
    await reserved(pool, merchant, budgets=budgets, has_key=False)
    assert await settlements.budget_of_day(pool) == BudgetUse(LAMPORTS, 4 * LAMPORTS)
    for _ in range(3):
        await reserved(pool, merchant, budgets=budgets)
    assert await settlements.budget_of_day(pool) == BudgetUse(4 * LAMPORTS, 10 * LAMPORTS)


async def test_a_fork_undoes_it_and_it_lands_again(pool, merchant):
    payment, found = await reserved(pool, merchant)
    await land(pool, payment)
    await claim_settled(pool, [found])
    await pool.execute("UPDATE transfers SET finality = 'orphaned'")
    assert (await follow_transfers(pool)).reversed == 1
    assert await settlements.reopen_undone(pool) == 1
    assert (await settlements.find_by_id(pool, found)).is_open
    await pool.execute("UPDATE transfers SET finality = 'finalized'")
    # Its claim is still undone: nothing is settled by that.
    assert await claim_settled(pool, [found]) == frozenset()
    await follow_transfers(pool)
    assert await claim_settled(pool, [found]) == {found}
    assert len(await claims(pool)) == 1
    assert (await settlements.find_by_id(pool, found)).answered_at is None
    assert await check_invariants(pool) == []


async def test_bytes_are_removed_when_nobody_will_send_them_again(pool, merchant):
    payment, found = await reserved(pool, merchant)
    await reserved(pool, merchant)
    await land(pool, payment)
    await claim_settled(pool, [found])
    assert await settlements.prune_wires(pool, limit=10, keep_seconds=0) == 0
    await pool.execute("UPDATE transfers SET finality = 'finalized'")
    await follow_transfers(pool)
    assert await settlements.prune_wires(pool, limit=10, keep_seconds=0) == 1
    assert (await settlements.find_by_id(pool, found)).wire is None
    await pool.execute("INSERT INTO settlement_budgets VALUES (current_date - 30, 'all', '', 1, 1)")
    assert await settlements.prune_budgets(pool, limit=10, keep_seconds=0) == 1


@pytest.mark.parametrize("column", ["amount", "pay_to", "wire", "signature", "payer", "user_id", "fee_payer"])
async def test_a_row_without_its_terms_is_refused(pool, merchant, column):
    await reserved(pool, merchant)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await pool.execute(f"UPDATE settlements SET {column} = NULL")


@pytest.mark.parametrize("late", [1, 2])
async def test_what_landed_after_it_was_shown_as_failed_stops_no_other(late, pool, merchant):
    """Its payment request was paid by another payment meanwhile."""
    request = await requested(pool, merchant)
    early = []
    for _ in range(late):
        early.append(await reserved(pool, merchant, memo=request.nonce))
        assert await settlements.fail(pool, early[-1][1], reason=FailureReason.NEVER_LANDED, detail=None)
    other = await reserved(pool, merchant, memo=request.nonce)
    stranger = await reserved(pool, merchant)
    for payment, _ in (*early, other, stranger):
        await land(pool, payment)
    every = [found for _, found in (*early, other, stranger)]
    settled = await claim_settled(pool, every)
    assert stranger[1] in settled
    # Of those that want the request, one has it; the others are claims of their own.
    assert settled | await claim_settled(pool, every) == set(every)
    assert len({claim["nonce"] for claim in await claims(pool)}) == len(every)
