"""The judge as a table: every outcome, the order in which they take precedence, and what no input may bring about."""

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.judge import Claim, Outcome, Standing, Transfer, judge

CLAIM = Claim(payer="payer", recipients=frozenset({"shop"}), mints=frozenset({"USDC"}), amount=100, least_amount=99)
PAID = Transfer(
    path="0",
    mint="USDC",
    source_owner="payer",
    destination_owner="shop",
    authority="payer",
    credited=100,
    is_final=True,
)


STANDING = {
    Outcome.INVALID_SIGNATURE: {"is_signed": False},
    Outcome.PAYMENT_EXPIRED: {"is_in_time": False},
    Outcome.RECIPIENT_REQUIRED: {"has_merchant": False},
    Outcome.RECIPIENT_NOT_FOLLOWED: {"is_followed": False},
    Outcome.REPLAY_ATTACK: {"is_nonce_free": False},
    Outcome.NONCE_MISMATCH: {"is_as_requested": False},
}
ASKED = {Outcome.AMOUNT_MISMATCH: {"exact": True}, Outcome.NOT_FINALIZED: {"final_only": True}}
MOVED = {
    Outcome.RECIPIENT_MISMATCH: {"destination_owner": "other shop"},
    Outcome.CURRENCY_MISMATCH: {"mint": "USDT"},
    Outcome.PAYER_MISMATCH: {"source_owner": "stranger", "authority": "stranger"},
    Outcome.INSUFFICIENT_AMOUNT: {"credited": 98},
    Outcome.AMOUNT_MISMATCH: {"credited": 101},
    Outcome.NOT_FINALIZED: {"is_final": False},
}


def outcome(*troubles):
    """What is answered to a claim that is right in everything but `troubles`."""
    claim, standing, transfer = CLAIM, Standing(), PAID
    for trouble in troubles:
        standing = replace(standing, **STANDING.get(trouble, {}))
        claim = replace(claim, **ASKED.get(trouble, {}))
        transfer = replace(transfer, **MOVED.get(trouble, {}))
    transfers = [] if Outcome.PAYMENT_PENDING in troubles else [transfer]
    return judge(claim, transfers, standing=standing, failed=Outcome.TRANSACTION_FAILED in troubles).outcome


TROUBLES = [one for one in Outcome if one is not Outcome.HONOURED]
# What cannot be at once: too little and too much; a transaction of which nothing is known, and that it failed.
IMPOSSIBLE = [
    {Outcome.INSUFFICIENT_AMOUNT, Outcome.AMOUNT_MISMATCH},
    {Outcome.PAYMENT_PENDING, Outcome.TRANSACTION_FAILED},
]


def test_a_claim_without_fault_is_honoured():
    assert judge(CLAIM, [PAID]).outcome is Outcome.HONOURED
    assert judge(CLAIM, [PAID]).transfer is PAID


@pytest.mark.parametrize("authority", ["shop", "delegate", "payer"])
def test_what_moves_nothing_is_no_payment_whoever_signs_it(authority):
    """To itself, or between two accounts of one owner: nobody has more than before."""
    claim = replace(CLAIM, payer="shop" if authority == "shop" else authority)
    still = replace(PAID, source_owner="shop", authority=authority)
    assert judge(claim, [still]).outcome is Outcome.RECIPIENT_MISMATCH
    moved = replace(PAID, authority=authority, path="1")
    assert judge(CLAIM, [replace(still, authority="payer"), moved]).transfer is moved


def test_a_transfer_that_names_another_request_is_left_to_that_one():
    named = replace(PAID, names_another_request=True)
    assert judge(CLAIM, [named]).outcome is Outcome.NONCE_MISMATCH
    assert judge(CLAIM, [replace(named, credited=1)]).outcome is Outcome.NONCE_MISMATCH
    assert judge(CLAIM, [replace(named, is_taken=True)]).outcome is Outcome.REPLAY_ATTACK
    other = replace(PAID, path="1", credited=150)
    assert judge(CLAIM, [named, other]).transfer is other
    assert judge(CLAIM, [named, replace(other, is_taken=True)]).outcome is Outcome.NONCE_MISMATCH
    assert judge(CLAIM, [named, replace(other, credited=1)]).outcome is Outcome.NONCE_MISMATCH


@pytest.mark.parametrize("trouble", TROUBLES)
def test_each_trouble_alone_has_its_own_outcome(trouble):
    assert outcome(trouble) is trouble


@pytest.mark.parametrize(
    ("first", "second"), [pair for pair in combinations(TROUBLES, 2) if set(pair) not in IMPOSSIBLE]
)
def test_of_two_troubles_the_earlier_is_the_answer(first, second):
    assert outcome(first, second) is first
    assert outcome(second, first) is first


def test_of_all_troubles_at_once_the_answers_come_in_order():
    left = [one for one in TROUBLES if one not in {Outcome.AMOUNT_MISMATCH, Outcome.TRANSACTION_FAILED}]
    while left:
        assert outcome(*left) is left[0]
        left.pop(0)


def test_what_is_known_to_have_failed_is_not_waited_for():
    assert judge(CLAIM, [], failed=True).outcome is Outcome.TRANSACTION_FAILED


def test_the_codes_are_those_of_the_contract_in_its_order():
    assert [one.value for one in Outcome] == [
        "INVALID_SIGNATURE", "PAYMENT_EXPIRED", "RECIPIENT_REQUIRED", "RECIPIENT_NOT_FOLLOWED", "REPLAY_ATTACK",
        "NONCE_MISMATCH", "PAYMENT_PENDING", "TRANSACTION_FAILED", "RECIPIENT_MISMATCH", "CURRENCY_MISMATCH",
        "PAYER_MISMATCH", "INSUFFICIENT_AMOUNT", "AMOUNT_MISMATCH", "NOT_FINALIZED", "HONOURED",
    ]  # fmt: skip


def test_a_transfer_that_is_taken_is_a_replay_before_the_terms_are_looked_at():
    taken = replace(PAID, is_taken=True)
    assert judge(CLAIM, [taken]).outcome is Outcome.REPLAY_ATTACK
    assert judge(CLAIM, [taken], standing=Standing(is_as_requested=False)).outcome is Outcome.REPLAY_ATTACK
    assert judge(CLAIM, [taken, replace(PAID, path="1")]).outcome is Outcome.HONOURED


def test_a_taken_transfer_that_would_not_have_done_is_no_replay():
    assert judge(CLAIM, [replace(PAID, is_taken=True, credited=1)]).outcome is Outcome.INSUFFICIENT_AMOUNT
    assert judge(CLAIM, [replace(PAID, is_taken=True, mint="USDT")]).outcome is Outcome.CURRENCY_MISMATCH


def test_a_delegate_pays_for_the_owner_or_as_itself():
    by_delegate = replace(PAID, source_owner="owner", authority="delegate")
    for payer, expected in (("owner", True), ("delegate", True), ("payer", False)):
        assert judge(replace(CLAIM, payer=payer), [by_delegate]).is_honoured == expected


def test_a_payment_within_the_rounding_of_doubles_is_enough_and_one_unit_less_is_not():
    assert judge(CLAIM, [replace(PAID, credited=99)]).is_honoured
    assert judge(replace(CLAIM, exact=True), [replace(PAID, credited=99)]).is_honoured
    assert judge(CLAIM, [replace(PAID, credited=98)]).outcome is Outcome.INSUFFICIENT_AMOUNT


def test_a_final_transfer_is_taken_where_finality_is_asked_though_a_smaller_one_is_there():
    smaller = replace(PAID, path="1", credited=99, is_final=False)
    claim = replace(CLAIM, final_only=True)
    assert judge(claim, [smaller, PAID]).transfer is PAID
    assert judge(claim, [smaller]).transfer is smaller


def test_overpaid_is_honoured_unless_exactly_that_was_asked():
    over = replace(PAID, credited=500)
    assert judge(CLAIM, [over]).is_honoured
    assert judge(replace(CLAIM, exact=True), [over]).outcome is Outcome.AMOUNT_MISMATCH


names = st.sampled_from(["payer", "shop", "other", None])
transfers_of_a_transaction = st.lists(
    st.builds(
        Transfer,
        path=st.sampled_from(["0", "0.1", "1", "2", "2.0.1", "10"]),
        mint=st.sampled_from(["USDC", "USDT", "SOL"]),
        source_owner=names,
        destination_owner=names,
        authority=names,
        credited=st.integers(0, 200),
        is_final=st.booleans(),
        is_taken=st.booleans(),
    ),
    max_size=5,
    unique_by=lambda transfer: transfer.path,
)
claims = st.builds(
    lambda least, more, **rest: Claim(amount=least + more, least_amount=least, **rest),
    least=st.integers(1, 150),
    more=st.integers(0, 1),
    payer=st.sampled_from(["payer", "other"]),
    recipients=st.frozensets(st.sampled_from(["shop", "other"])),
    mints=st.frozensets(st.sampled_from(["USDC", "USDT", "SOL"]), min_size=1),
    exact=st.booleans(),
    final_only=st.booleans(),
)
standings = st.builds(Standing, *[st.booleans()] * 6)


@given(claims, transfers_of_a_transaction, standings, st.booleans())
def test_nothing_is_honoured_that_is_not_right_in_everything(claim, transfers, standing, failed):
    verdict = judge(claim, transfers, standing=standing, failed=failed)
    if not verdict.is_honoured:
        return
    transfer = verdict.transfer
    assert transfer in transfers
    assert transfer.credited >= claim.least_amount
    assert not claim.exact or transfer.credited <= claim.amount
    assert transfer.destination_owner in claim.recipients
    assert transfer.mint in claim.mints
    assert claim.payer in {transfer.source_owner, transfer.authority}
    assert not transfer.is_taken
    assert transfer.is_final or not claim.final_only
    assert standing == Standing()
    assert not failed


@given(claims, transfers_of_a_transaction, standings, st.booleans(), st.randoms())
def test_the_order_of_the_transfers_means_nothing(claim, transfers, standing, failed, dice):
    mixed = list(transfers)
    dice.shuffle(mixed)
    assert judge(claim, mixed, standing=standing, failed=failed) == judge(
        claim, transfers, standing=standing, failed=failed
    )


@given(claims, transfers_of_a_transaction)
def test_whatever_is_honoured_is_a_replay_once_all_that_fits_is_taken(claim, transfers):
    """Claim after claim takes one transfer each, and as many are honoured as there are transfers that fit."""
    honoured = []
    while (verdict := judge(claim, transfers)).is_honoured:
        honoured.append(verdict.transfer)
        transfers = [replace(one, is_taken=True) if one == verdict.transfer else one for one in transfers]
        assert len(honoured) <= len(transfers)
    if honoured:
        assert verdict.outcome in {Outcome.REPLAY_ATTACK, Outcome.NOT_FINALIZED}
    assert len({one.path for one in honoured}) == len(honoured)


@given(st.integers(1, 100), st.integers(1, 100), st.booleans())
def test_two_claims_in_one_transaction_find_one_transfer_each(one, other, is_later_first):
    """Whichever asks first: the smallest that does is taken, so the greater is left for who needs it."""
    transfers = [replace(PAID, path="0", credited=one), replace(PAID, path="1", credited=other)]
    amounts = [other, one] if is_later_first else [one, other]
    taken = []
    for amount in amounts:
        verdict = judge(replace(CLAIM, amount=amount, least_amount=amount), transfers)
        assert verdict.is_honoured
        taken.append(verdict.transfer.path)
        transfers = [replace(t, is_taken=t.is_taken or t.path == verdict.transfer.path) for t in transfers]
    assert sorted(taken) == ["0", "1"]
    third = judge(replace(CLAIM, amount=1, least_amount=1), transfers)
    assert third.outcome is Outcome.REPLAY_ATTACK
