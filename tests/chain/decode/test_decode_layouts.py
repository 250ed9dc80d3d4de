"""Each fact of SOLANA.md about the layouts of token and system instructions, by its name."""

import pytest

from ledger.observation import Kind
from tests.support import handwritten_transactions as handwritten
from tests.support.handwritten_transactions import (
    Call,
    Handwritten,
    address,
    burn,
    exchange,
    findings,
    initialize,
    key,
    mint_to,
    moves,
    name_of,
    token,
    transfer,
    transfer_checked,
    transfer_with_fee,
    u64,
)


@pytest.mark.parametrize(
    ("call", "kind", "source", "destination", "authority", "amount", "fee"),
    [
        (transfer("a", "b", 9), Kind.TRANSFER, "a", "b", "owner", 9, 0),
        (transfer_checked("a", "gold", "b", 9, program="spl"), Kind.TRANSFER_CHECKED, "a", "b", "owner", 9, 0),
        (transfer_with_fee("a", "gold", "b", 9, 2), Kind.TRANSFER_CHECKED_WITH_FEE, "a", "b", "owner", 9, 2),
        (mint_to("gold", "b", 9), Kind.MINT, None, "b", "owner", 9, 0),
        (token("spl", b"\x0e" + u64(9) + b"\x06", "gold", "b", "owner"), Kind.MINT, None, "b", "owner", 9, 0),
        (burn("a", "gold", 9), Kind.BURN, "a", None, "owner", 9, 0),
        (token("spl", b"\x0f" + u64(9) + b"\x06", "a", "gold", "owner"), Kind.BURN, "a", None, "owner", 9, 0),
        (
            token("2022", b"\x2e\x01" + u64(9), "a", "gold", "permission", "owner"),
            Kind.BURN, "a", None, "owner", 9, 0,
        ),
        (
            token("2022", b"\x2e\x02" + u64(9) + b"\x06", "a", "gold", "permission", "owner"),
            Kind.BURN, "a", None, "owner", 9, 0,
        ),
    ],
    ids=lambda value: value.data[:2].hex() if isinstance(value, Call) else "",
)  # fmt: skip
def test_layouts_of_token_instructions(call, kind, source, destination, authority, amount, fee):
    sheet = Handwritten()
    sheet.account("a", "gold", 20, 20 - amount if source else 20)
    sheet.account("b", "gold", 30, 30 + amount - fee if destination else 30)
    seen = sheet.does(call).decoded()
    (movement,) = seen.movements
    assert (movement.kind, movement.amount, movement.fee) == (kind, amount, fee)
    assert (name_of(movement.source), name_of(movement.destination)) == (source, destination)
    assert name_of(movement.authority) == authority
    assert movement.mint == address("gold")
    assert name_of(movement.source_owner) == (source and "a's owner")
    assert name_of(movement.destination_owner) == (destination and "b's owner")
    assert findings(seen) == []


@pytest.mark.parametrize(
    "opening",
    [
        token("spl", b"\x01", "temporary", "gold", "holder", "rent"),
        token("spl", b"\x10" + key("holder"), "temporary", "gold", "rent"),
        token("spl", b"\x12" + key("holder"), "temporary", "gold"),
    ],
    ids=["initializeAccount", "initializeAccount2", "initializeAccount3"],
)
def test_an_account_opened_and_closed_inside_has_its_mint_and_owner_from_its_initialize_instruction(opening):
    sheet = exchange(a=(10, 4), b=(0, 6))
    sheet.does(opening).does(transfer("a", "temporary", 6)).does(transfer("temporary", "b", 6, owner="holder"))
    seen = sheet.does(handwritten.close("temporary", "payer", "holder")).decoded()
    assert moves(seen) == [("1", "transfer", "a", "temporary", 6), ("2", "transfer", "temporary", "b", 6)]
    assert {m.mint for m in seen.movements} == {address("gold")}
    assert [name_of(m.source_owner) for m in seen.movements] == ["a's owner", "holder"]
    assert [name_of(m.destination_owner) for m in seen.movements] == ["holder", "b's owner"]
    assert "temporary" not in map(name_of, (change.account for change in seen.balances))
    assert findings(seen) == []


def test_a_plain_transfer_from_an_unseen_account_takes_its_mint_from_the_counterparty():
    seen = Handwritten().account("b", "gold", 0, 6).does(transfer("unseen", "b", 6)).decoded()
    (movement,) = seen.movements
    assert (movement.mint, movement.source_owner) == (address("gold"), None)


def test_a_transfer_whose_mint_nothing_shows_is_reported():
    seen = Handwritten().does(transfer("unseen", "hidden", 6)).decoded()
    assert seen.movements[0].mint is None
    assert findings(seen) == [("unseen", 6, "no account tells the mint")]


def test_a_temporary_account_closed_with_tokens_on_it_is_reported():
    sheet = exchange(a=(10, 4)).does(initialize("temporary", "gold", "holder")).does(transfer("a", "temporary", 6))
    assert findings(sheet.does(handwritten.close("temporary", "payer")).decoded()) == [
        ("temporary", -6, "no instruction shows it")
    ]


def test_a_node_that_contradicts_the_initialize_instruction_is_reported():
    sheet = exchange(a=(10, 5)).account("b", "silver", None, 5)
    seen = sheet.does(initialize("b", "gold", "holder")).does(transfer("a", "b", 5)).decoded()
    assert findings(seen) == [("b", 5, "no instruction shows it")]


def test_an_account_that_changes_hands_belongs_to_each_owner_in_turn():
    give = token("spl", b"\x06\x02\x01" + key("heir"), "a", "owner")
    sheet = Handwritten().account("a", "gold", 10, 3, owner=("parent", "heir")).account("b", "gold", 0, 7)
    seen = sheet.does(transfer("a", "b", 3)).does(give).does(transfer("a", "b", 4)).decoded()
    assert [name_of(m.source_owner) for m in seen.movements] == ["parent", "heir"]
    assert [name_of(change.owner) for change in seen.balances] == ["heir", "b's owner"]


@pytest.mark.parametrize("authority_type", [0, 1, 3])
def test_another_authority_set_changes_no_owner(authority_type):
    other = token("spl", bytes([6, authority_type, 1]) + key("stranger"), "a", "owner")
    seen = exchange(a=(10, 3), b=(0, 7)).does(other).does(transfer("a", "b", 7)).decoded()
    assert name_of(seen.movements[0].source_owner) == "a's owner"


def test_a_zero_amount_and_a_transfer_to_itself_are_transfers_too():
    seen = exchange(a=(10, 10), b=(0, 0)).does(transfer("a", "b", 0)).does(transfer("a", "a", 8)).decoded()
    assert moves(seen) == [("0", "transfer", "a", "b", 0), ("1", "transfer", "a", "a", 8)]
    assert findings(seen) == []


def test_an_instruction_that_is_not_known_makes_its_accounts_unexplained():
    novel = token("2022", b"\xc8\x01", "a", "b")
    seen = exchange(a=(10, 4), b=(0, 6), c=(5, 5)).does(novel).decoded()
    reason = "an instruction that is not known here: c801"
    assert findings(seen) == [("a", -6, reason), ("b", 6, reason)]


def test_an_instruction_that_is_cut_short_is_reported_and_the_others_are_read():
    short = token("spl", b"\x03\x01\x02", "a", "b", "owner")
    seen = exchange(a=(10, 3), b=(0, 7)).does(short).does(transfer("a", "b", 5)).decoded()
    assert moves(seen) == [("1", "transfer", "a", "b", 5)]
    assert [(account, difference) for account, difference, _ in findings(seen)] == [("a", -2), ("b", 2)]


def test_an_initialize_instruction_that_is_cut_short_opens_nothing():
    short = token("spl", b"\x12" + bytes(31), "b", "gold")
    seen = exchange(a=(10, 5)).does(short).does(transfer("a", "b", 5)).decoded()
    assert [(m.mint, m.destination_owner) for m in seen.movements] == [(address("gold"), None)]


def test_tokens_on_an_account_that_the_node_does_not_report_are_reported():
    seen = exchange(a=(10, 5)).does(initialize("b", "gold", "holder")).does(transfer("a", "b", 5)).decoded()
    assert findings(seen) == [("b", -5, "no instruction shows it")]


@pytest.mark.parametrize(
    "data",
    [[4, *u64(5)], [5], [10], [11], [13, *u64(5), 6], [21], [22], [26, 4, 1], [28, 0], [35], [36, 0], [38], [44, 1]],
    ids=lambda data: f"{data[0]}",
)  # fmt: skip
def test_instructions_that_move_nothing_say_nothing(data):
    seen = exchange(a=(10, 10)).does(token("2022", data, "a", "gold", "owner")).decoded()
    assert (seen.movements, seen.unexplained) == ((), ())


def test_lamports_out_of_a_derived_account_are_allowed_by_its_base():
    data = (11).to_bytes(4, "little") + u64(9) + u64(4) + b"seed" + key("system")
    seen = Handwritten(references=("order",)).does(Call("system", ("derived", "base", "shop", "order"), data)).decoded()
    (movement,) = seen.movements
    assert (movement.kind, movement.amount) == (Kind.NATIVE_TRANSFER, 9)
    assert [name_of(x) for x in (movement.source, movement.destination, movement.authority)] == [
        "derived",
        "shop",
        "base",
    ]
    assert tuple(map(name_of, movement.references)) == ("order",)


@pytest.mark.parametrize(
    ("accounts", "data"),
    [
        (("payer", "shop"), (0).to_bytes(4, "little") + u64(9) + u64(0) + key("system")),
        (("payer", "shop", "payer"), (3).to_bytes(4, "little") + key("payer") + u64(2) + b"ab" + u64(9) + u64(0)),
        (("shop", "payer"), (13).to_bytes(4, "little") + u64(9) + u64(0) + key("system")),
        (("nonce", "shop", "hashes", "rent", "payer"), (5).to_bytes(4, "little") + u64(9)),
        (("nonce", "hashes", "payer"), (4).to_bytes(4, "little")),
        (("shop",), (8).to_bytes(4, "little") + u64(9)),
        (("payer", "shop"), b"\x02\0"),
        (("payer",), (2).to_bytes(4, "little") + u64(9)),
    ],
    ids=["create", "with seed", "allow prefund", "nonce withdraw", "nonce advance", "allocate", "cut short", "alone"],
)
def test_system_instructions_that_are_no_payment(accounts, data):
    assert Handwritten().does(Call("system", accounts, data)).decoded().movements == ()
