"""Wrapped SOL in handwritten transactions: of other programs, with the price of rent, and what must not be absorbed."""

import pytest

from ledger.observation import Kind
from tests.support.handwritten_transactions import (
    RENT,
    Call,
    Handwritten,
    address,
    close,
    create,
    create_with_seed,
    findings,
    initialize,
    key,
    moves,
    name_of,
    pay,
    sync,
    token,
    transfer_checked,
    u64,
    unwrap,
    wrapped,
)
from tests.support.handwritten_transactions import transfer as move

LOWER_RENT = 203_928  # 165 bytes at a tenth of the old price (SIMD-0437)


# --- other programs move lamports, or the price of rent changes


def test_lamports_put_on_a_temporary_account_come_to_light_when_they_are_spent():
    sheet = Handwritten().account("pool", "wsol", 100, 800)
    sheet.does(create("payer", "purse", RENT)).does(initialize("purse", "wsol", "payer"))
    sheet.calls(sync("purse"), move("purse", "pool", 700)).does(close("purse", "payer"))
    seen = sheet.decoded()
    assert moves(seen) == [("2.0", "wrap", None, "purse", 700), ("2.1", "transfer", "purse", "pool", 700)]
    assert findings(seen) == []


def test_unseen_lamports_spent_between_two_syncs_belong_to_the_first():
    sheet = Handwritten().account("a", "wsol", 0, 40).account("pool", "wsol", 0, 100)
    sheet.calls(sync("a"), move("a", "pool", 100), sync("a"))
    assert moves(sheet.decoded()) == [
        ("0.0", "wrap", None, "a", 100),
        ("0.1", "transfer", "a", "pool", 100),
        ("0.2", "wrap", None, "a", 40),
    ]


def test_unseen_lamports_that_were_spent_do_not_hide_what_is_paid_later():
    sheet = Handwritten().account("a", "wsol", 0, None).account("pool", "wsol", 0, 100)
    sheet.calls(sync("a"), move("a", "pool", 100)).does(pay("payer", "a", 60)).does(sync("a")).does(close("a", "payer"))
    assert wrapped(sheet.decoded()) == [
        (Kind.WRAP, 100),
        (Kind.TRANSFER, 100),
        (Kind.WRAP, 60),
        (Kind.CLOSE, 60),
    ]


def test_a_temporary_account_that_received_closes_with_all_of_it():
    sheet = Handwritten().account("pool", "wsol", 900, 200).does(create_with_seed("payer", "purse", RENT))
    sheet.does(initialize("purse", "wsol", "payer")).calls(move("pool", "purse", 700)).does(close("purse", "payer"))
    seen = sheet.decoded()
    assert moves(seen)[1:] == [("3", "closeAccount", "purse", None, 700)]
    assert name_of(seen.movements[-1].source_owner) == "payer"
    assert findings(seen) == []


@pytest.mark.parametrize("rent", [RENT, LOWER_RENT])
def test_what_an_account_that_stays_wraps_does_not_depend_on_the_price_of_rent(rent):
    sheet = Handwritten().account("purse", "wsol", None, 1_000, owner="payer", reserve=(0, rent))
    sheet.does(create("payer", "purse", rent + 1_000)).does(initialize("purse", "wsol", "payer"))
    assert (moves(sheet.decoded()), findings(sheet.decoded())) == ([("1", "wrap", None, "purse", 1_000)], [])


def test_a_purse_opened_at_a_lower_price_of_rent_spends_and_receives_to_the_unit():
    sheet = Handwritten().account("pool", "wsol", 900, 1_200)
    for name, lamports in (("in", LOWER_RENT + 1_000), ("out", LOWER_RENT)):
        sheet.does(create("payer", name, lamports)).does(initialize(name, "wsol", "payer"))
    sheet.calls(move("in", "pool", 1_000), move("pool", "out", 700))
    sheet.does(close("in", "payer")).does(close("out", "payer"))
    seen = sheet.decoded()
    assert moves(seen) == [
        ("1", "wrap", None, "in", 1_000),
        ("4.0", "transfer", "in", "pool", 1_000),
        ("4.1", "transfer", "pool", "out", 700),
        ("6", "closeAccount", "out", None, 700),
    ]
    assert findings(seen) == []


def test_a_purse_opened_at_a_lower_price_of_rent_wraps_what_it_is_paid_later():
    sheet = Handwritten().does(create("payer", "purse", LOWER_RENT)).does(initialize("purse", "wsol", "payer"))
    sheet.does(pay("payer", "purse", 1_000)).does(sync("purse")).does(close("purse", "payer"))
    assert wrapped(sheet.decoded()) == [(Kind.WRAP, 1_000), (Kind.CLOSE, 1_000)]


def test_an_account_that_stays_shows_the_price_of_its_rent():
    sheet = Handwritten().account("purse", "wsol", None, 1_007, owner="payer", reserve=(0, LOWER_RENT))
    sheet.does(create("payer", "purse", LOWER_RENT + 1_000)).does(initialize("purse", "wsol", "payer"))
    sheet.does(pay("payer", "purse", 7)).does(sync("purse"))
    assert wrapped(sheet.decoded()) == [(Kind.WRAP, 1_000), (Kind.WRAP, 7)]


def test_a_sync_after_the_price_of_rent_fell_turns_the_difference_into_balance():
    """The program sets the reserve anew at every sync: the balance rises although no lamport moved."""
    sheet = Handwritten().account("a", "wsol", 500, 500 + RENT - LOWER_RENT, reserve=(RENT, LOWER_RENT)).does(sync("a"))
    assert moves(sheet.decoded()) == [("0", "wrap", None, "a", RENT - LOWER_RENT)]
    assert findings(sheet.decoded()) == []


def test_lamports_that_come_after_the_last_sync_stay_unsynced():
    sheet = Handwritten().account("a", "wsol", 0, 10, unsynced=(0, 3)).holds("payer", 10**9, 10**9 - 13)
    sheet.does(pay("payer", "a", 10)).does(sync("a")).does(pay("payer", "a", 3))
    assert [row for row in moves(sheet.decoded()) if row[1] == "wrap"] == [("1", "wrap", None, "a", 10)]


def test_the_payers_own_wrapped_account_is_no_part_of_its_fee():
    sheet = Handwritten().account("a", "wsol", 0, 50, owner="payer").holds("payer", 10**9, 10**9 - 50 - 5_000)
    seen = sheet.does(pay("payer", "a", 50)).does(sync("a")).decoded()
    assert moves(seen) == [("0", "nativeTransfer", "payer", "a", 50), ("1", "wrap", None, "a", 50)]
    assert findings(seen) == []


# --- what must not be absorbed


def test_balance_lost_without_an_instruction_is_reported_although_the_account_was_synced():
    sheet = Handwritten().account("a", "wsol", 100, 130).holds("payer", 10**9, 10**9 - 50)
    sheet.does(pay("payer", "a", 50)).does(sync("a"))
    seen = sheet.decoded()
    assert [row for row in moves(seen) if row[1] == "wrap"] == [("1", "wrap", None, "a", 50)]
    assert findings(seen) == [("a", -20, "no instruction shows it")]


def test_balance_gained_without_a_sync_is_reported():
    assert findings(Handwritten().account("a", "wsol", 100, 130).decoded()) == [("a", 30, "no instruction shows it")]


def test_a_sync_does_not_absorb_what_an_unknown_instruction_did():
    novel = token("spl", b"\xc8", "a", "b")
    sheet = Handwritten().account("a", "wsol", 0, 30).account("b", "wsol", 100, 70).calls(novel, sync("a"), sync("b"))
    reason = "an instruction that is not known here: c8"
    assert findings(sheet.decoded()) == [("a", 30, reason), ("b", -30, reason)]


def test_a_sync_does_not_absorb_what_was_spent_of_an_unknown_gain():
    sheet = Handwritten().account("a", "wsol", 0, 0).account("b", "wsol", 0, 30)
    sheet.calls(sync("a"), token("spl", b"\xc8", "a"), move("a", "b", 30))
    seen = sheet.decoded()
    assert wrapped(seen) == [(Kind.TRANSFER, 30)]
    assert findings(seen) == [("a", 30, "an instruction that is not known here: c8")]


def test_an_account_that_spends_what_it_never_had_is_reported_when_it_closes():
    sheet = Handwritten().account("a", "wsol", 10, None).account("b", "wsol", 0, 30)
    seen = sheet.does(move("a", "b", 30)).does(close("a", "payer")).decoded()
    assert moves(seen) == [("0", "transfer", "a", "b", 30)]
    assert findings(seen) == [("a", 20, "no instruction shows it")]


def test_a_sync_of_an_account_of_another_mint_wraps_nothing():
    sheet = Handwritten().account("a", "gold", 5, 9).does(sync("a"))
    assert (moves(sheet.decoded()), findings(sheet.decoded())) == ([], [("a", 4, "no instruction shows it")])


def test_the_wraps_of_a_closed_account_do_not_explain_the_one_opened_after_it():
    """Both go by one address, but the second was never given what the node says it holds."""
    sheet = Handwritten().account("a", "wsol", 0, 60, owner="payer").holds("payer", 10**9, 10**9 - 5_010)
    sheet.does(pay("payer", "a", 10)).does(sync("a")).does(close("a", "payer"))
    sheet.does(create("payer", "a", RENT)).does(initialize("a", "wsol", "payer"))
    seen = sheet.decoded()
    assert [row for row in moves(seen) if row[1] != "nativeTransfer"] == [
        ("1", "wrap", None, "a", 10),
        ("2", "closeAccount", "a", None, 10),
        ("4", "wrap", None, "a", 60),
    ]
    assert findings(seen) == [], "the initialize instruction finds lamports, wherever they came from"


def test_unwrap_of_an_account_that_nobody_knows_is_passed_over():
    assert Handwritten().does(unwrap("unseen", "payer", 5)).decoded().movements == ()


def test_a_prefunded_account_that_nobody_pays_for_on_creation():
    call = Call("system", ("purse",), (13).to_bytes(4, "little") + u64(0) + u64(165) + key("spl"))
    sheet = Handwritten().account("purse", "wsol", None, 9, owner="payer").holds("purse", RENT + 9, RENT + 9)
    sheet.does(call).does(initialize("purse", "wsol", "payer"))
    assert moves(sheet.decoded()) == [("1", "wrap", None, "purse", 9)]


def test_checked_transfers_of_token_2022_wrapped_sol_withhold_no_fee():
    sheet = (
        Handwritten().account("a", "wsol2022", 50, 10, program="2022").account("b", "wsol2022", 0, 39, program="2022")
    )
    seen = (
        sheet.does(transfer_checked("a", "wsol2022", "b", 30))
        .does(transfer_checked("a", "wsol2022", "b", 10))
        .decoded()
    )
    assert ([m.fee for m in seen.movements], findings(seen)) == ([0, 0], [("b", -1, "no instruction shows it")])
    assert seen.movements[0].mint == address("wsol2022")
