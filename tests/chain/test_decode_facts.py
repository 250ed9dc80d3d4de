"""Each fact of SOLANA.md about decoding, by its name. The facts about wrapped SOL and Token-2022 have files of
their own."""

from collections import Counter

import pytest
from solders.keypair import Keypair
from spl.token import instructions as spl
from spl.token import models

from pay402.chain.decode import decode, decode_block
from pay402.chain.instructions import batch as batch_instruction
from pay402.chain.instructions import with_references
from pay402.chain.programs import MEMO_V1_PROGRAM
from pay402.ledger.observation import Kind
from tests.chain import instructions as raw
from tests.chain import paper
from tests.chain.paper import (
    Call,
    Paper,
    address,
    batch,
    burn,
    findings,
    initialize,
    key,
    memo,
    mint_to,
    moves,
    name_of,
    token,
    transfer,
    transfer_checked,
    transfer_with_fee,
    u64,
)
from tests.chain.world import PYUSD, SPL, USDC, Action, World


def _exchange(**ends) -> Paper:
    """Two accounts of one mint, a and b, with their balances as (before, after)."""
    sheet = Paper()
    for name, (pre, post) in ends.items():
        sheet.account(name, "gold", pre, post)
    return sheet


# --- keys


def test_keys_of_a_v0_transaction_are_static_then_loaded_writable_then_loaded_read_only():
    sheet = Paper(loaded_writable=("b", "a"), loaded_readonly=("gold", "spl"))
    sheet.account("a", "gold", 10, 3).account("b", "gold", 0, 7)
    sheet.does(transfer_checked("a", "gold", "b", 7, program="spl"))
    names, static = sheet.keys()
    assert names[static:] == ["b", "a", "gold", "spl"]
    seen = sheet.decoded()
    assert moves(seen) == [("0", "transferChecked", "a", "b", 7)]
    assert [(name_of(change.account), change.pre, change.post) for change in seen.balances] == [
        ("b", 0, 7),
        ("a", 10, 3),
    ]
    assert name_of(seen.movements[0].source_owner) == "a's owner"


def test_lookup_tables_and_both_encodings_agree_on_a_real_transaction():
    world = World()
    # The table's accounts are the same in both, whatever order the transaction loads them in.
    world.look_up([world.account(1, USDC), world.account(0, USDC), USDC])
    done = world.send([world.transfer_checked(USDC, 0, 1, 5), world.transfer(USDC, 0, 1, 6)])
    assert done.err is None
    assert len(done.keys) > done.static_keys
    assert done.loaded_writable == 2
    seen = decode(done.result("base64"))
    assert seen == decode(done.result("json")) == decode(done.result("base58"))
    assert [m.amount for m in seen.transfers] == [5, 6]
    assert {m.destination_owner for m in seen.transfers} == {str(world.wallets[1].pubkey())}


# --- inner instructions


def test_siblings_of_one_stack_height_are_distinct():
    swap = Call("amm", ("payer",), b"\x09")
    deep = [Call(*parts[:3], height=3) for parts in map(_parts, (transfer("a", "b", 1), transfer("a", "b", 1)))]
    sheet = _exchange(a=(10, 6), b=(0, 4))
    sheet.calls(swap, *deep, swap, transfer("a", "b", 1), transfer("a", "b", 1))
    seen = sheet.decoded()
    assert moves(seen) == [(f"0.{at}", "transfer", "a", "b", 1) for at in (1, 2, 4, 5)]
    assert findings(seen) == []
    by_height = {(m.path.split(".")[0], sheet.inner[0][int(m.path.split(".")[1])].height) for m in seen.movements}
    assert len(by_height) == 2, "a key of outer index and stack height would lose half of them"


def _parts(call):
    return call.program, call.accounts, call.data


def test_inner_instructions_come_after_the_outer_one_that_called_them_and_before_the_next():
    sheet = _exchange(a=(10, 0), b=(0, 10))
    sheet.does(transfer("a", "b", 1), transfer("a", "b", 2)).calls(transfer("a", "b", 3)).does(transfer("a", "b", 4))
    assert [(m.path, m.amount) for m in sheet.decoded().movements] == [("0", 1), ("0.0", 2), ("1.0", 3), ("2", 4)]


def test_inner_instructions_told_in_two_groups_of_one_index_are_all_read():
    result = _exchange(a=(10, 7), b=(0, 3)).calls(transfer("a", "b", 1), transfer("a", "b", 2)).result()
    (group,) = result["meta"]["innerInstructions"]
    result["meta"]["innerInstructions"] = [{**group, "instructions": [one]} for one in group["instructions"]]
    assert [(m.path, m.amount) for m in decode(result).movements] == [("0.0", 1), ("0.1", 2)]


# --- layouts of the token programs


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
    sheet = Paper()
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
    sheet = _exchange(a=(10, 4), b=(0, 6))
    sheet.does(opening).does(transfer("a", "temporary", 6)).does(transfer("temporary", "b", 6, owner="holder"))
    seen = sheet.does(paper.close("temporary", "payer", "holder")).decoded()
    assert moves(seen) == [("1", "transfer", "a", "temporary", 6), ("2", "transfer", "temporary", "b", 6)]
    assert {m.mint for m in seen.movements} == {address("gold")}
    assert [name_of(m.source_owner) for m in seen.movements] == ["a's owner", "holder"]
    assert [name_of(m.destination_owner) for m in seen.movements] == ["holder", "b's owner"]
    assert "temporary" not in map(name_of, (change.account for change in seen.balances))
    assert findings(seen) == []


def test_a_plain_transfer_from_an_unseen_account_takes_its_mint_from_the_counterparty():
    seen = Paper().account("b", "gold", 0, 6).does(transfer("unseen", "b", 6)).decoded()
    (movement,) = seen.movements
    assert (movement.mint, movement.source_owner) == (address("gold"), None)


def test_a_transfer_whose_mint_nothing_tells_is_reported():
    seen = Paper().does(transfer("unseen", "hidden", 6)).decoded()
    assert seen.movements[0].mint is None
    assert findings(seen) == [("unseen", 6, "no account tells the mint")]


def test_a_temporary_account_closed_with_tokens_on_it_is_reported():
    sheet = _exchange(a=(10, 4)).does(initialize("temporary", "gold", "holder")).does(transfer("a", "temporary", 6))
    assert findings(sheet.does(paper.close("temporary", "payer")).decoded()) == [
        ("temporary", -6, "no instruction shows it")
    ]


def test_a_node_that_contradicts_the_initialize_instruction_is_reported():
    sheet = _exchange(a=(10, 5)).account("b", "silver", None, 5)
    seen = sheet.does(initialize("b", "gold", "holder")).does(transfer("a", "b", 5)).decoded()
    assert findings(seen) == [("b", 5, "no instruction shows it")]


def test_an_account_that_changes_hands_belongs_to_each_owner_in_turn():
    give = token("spl", b"\x06\x02\x01" + key("heir"), "a", "owner")
    sheet = Paper().account("a", "gold", 10, 3, owner=("parent", "heir")).account("b", "gold", 0, 7)
    seen = sheet.does(transfer("a", "b", 3)).does(give).does(transfer("a", "b", 4)).decoded()
    assert [name_of(m.source_owner) for m in seen.movements] == ["parent", "heir"]
    assert [name_of(change.owner) for change in seen.balances] == ["heir", "b's owner"]


@pytest.mark.parametrize("authority_type", [0, 1, 3])
def test_another_authority_set_changes_no_owner(authority_type):
    other = token("spl", bytes([6, authority_type, 1]) + key("stranger"), "a", "owner")
    seen = _exchange(a=(10, 3), b=(0, 7)).does(other).does(transfer("a", "b", 7)).decoded()
    assert name_of(seen.movements[0].source_owner) == "a's owner"


def test_a_zero_amount_and_a_transfer_to_itself_are_transfers_too():
    seen = _exchange(a=(10, 10), b=(0, 0)).does(transfer("a", "b", 0)).does(transfer("a", "a", 8)).decoded()
    assert moves(seen) == [("0", "transfer", "a", "b", 0), ("1", "transfer", "a", "a", 8)]
    assert findings(seen) == []


def test_an_instruction_that_is_not_known_makes_its_accounts_unexplained():
    novel = token("2022", b"\xc8\x01", "a", "b")
    seen = _exchange(a=(10, 4), b=(0, 6), c=(5, 5)).does(novel).decoded()
    reason = "an instruction that is not known here: c801"
    assert findings(seen) == [("a", -6, reason), ("b", 6, reason)]


def test_an_instruction_that_is_cut_short_is_reported_and_the_others_are_read():
    short = token("spl", b"\x03\x01\x02", "a", "b", "owner")
    seen = _exchange(a=(10, 3), b=(0, 7)).does(short).does(transfer("a", "b", 5)).decoded()
    assert moves(seen) == [("1", "transfer", "a", "b", 5)]
    assert [(account, difference) for account, difference, _ in findings(seen)] == [("a", -2), ("b", 2)]


def test_an_initialize_instruction_that_is_cut_short_opens_nothing():
    short = token("spl", b"\x12" + bytes(31), "b", "gold")
    seen = _exchange(a=(10, 5)).does(short).does(transfer("a", "b", 5)).decoded()
    assert [(m.mint, m.destination_owner) for m in seen.movements] == [(address("gold"), None)]


def test_tokens_on_an_account_that_the_node_does_not_report_are_reported():
    seen = _exchange(a=(10, 5)).does(initialize("b", "gold", "holder")).does(transfer("a", "b", 5)).decoded()
    assert findings(seen) == [("b", -5, "no instruction shows it")]


@pytest.mark.parametrize(
    "data",
    [[4, *u64(5)], [5], [10], [11], [13, *u64(5), 6], [21], [22], [26, 4, 1], [28, 0], [35], [36, 0], [38], [44, 1]],
    ids=lambda data: f"{data[0]}",
)  # fmt: skip
def test_instructions_that_move_nothing_say_nothing(data):
    seen = _exchange(a=(10, 10)).does(token("2022", data, "a", "gold", "owner")).decoded()
    assert (seen.movements, seen.unexplained) == ((), ())


def test_lamports_out_of_a_derived_account_are_allowed_by_its_base():
    data = (11).to_bytes(4, "little") + u64(9) + u64(4) + b"seed" + key("system")
    seen = Paper(references=("order",)).does(Call("system", ("derived", "base", "shop", "order"), data)).decoded()
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
    assert Paper().does(Call("system", accounts, data)).decoded().movements == ()


# --- batch


def test_the_parts_of_a_batch_appear_nowhere_else():
    world = World()
    parts = world.in_batch([world.transfer(USDC, 0, 1, 3), world.transfer_checked(USDC, 0, 2, 4)])
    done = world.send([parts])
    assert done.err is None
    assert all(not group for group in done.metadata.inner_instructions())
    assert not any("Transfer" in line for line in done.metadata.logs())
    seen = decode(done.result("base64"))
    assert [(m.path, m.kind, m.amount) for m in seen.movements] == [
        ("0.0", Kind.TRANSFER, 3),
        ("0.1", Kind.TRANSFER_CHECKED, 4),
    ]


def test_a_batch_takes_accounts_in_order_multisig_signers_included():
    shared = transfer("a", "b", 1, "signer1", "signer2", owner="multisig")
    sheet = _exchange(a=(10, 6), b=(0, 4)).does(batch(shared, burn("b", "gold", 0), transfer("a", "b", 3)))
    assert moves(sheet.decoded()) == [
        ("0.0", "transfer", "a", "b", 1),
        ("0.1", "burn", "b", None, 0),
        ("0.2", "transfer", "a", "b", 3),
    ]


@pytest.mark.parametrize("program", ["spl", "2022"])
def test_a_batch_inside_an_inner_instruction_has_paths_of_three_parts(program):
    parts = transfer("a", "b", 1, program=program), transfer("a", "b", 2, program=program)
    sheet = _exchange(a=(10, 4), b=(0, 6)).calls(memo(b"x"), batch(*parts, program=program), transfer("a", "b", 3))
    assert [(m.path, m.amount) for m in sheet.decoded().movements] == [("0.1.0", 1), ("0.1.1", 2), ("0.2", 3)]


def test_a_part_of_a_batch_that_is_not_known_makes_its_own_accounts_unexplained():
    sheet = _exchange(a=(10, 9), b=(0, 0), c=(5, 6)).does(batch(token("spl", b"\xc8", "a"), transfer("b", "c", 0)))
    assert [(account, difference) for account, difference, _ in findings(sheet.decoded())] == [("a", -1), ("c", 1)]


# --- memos and references


def test_both_memo_programs_are_read_in_order_with_text_that_is_not_utf8():
    sheet = Paper().does(memo(b"first")).calls(memo("zw\u00f6lf".encode()), memo(b"\xff\xfe", "memo"))
    sheet.does(memo(b"old", "memo v1")).does(memo(b""))
    result = sheet.result()
    keys = result["transaction"]["message"]["accountKeys"]
    keys[keys.index(address("memo v1"))] = MEMO_V1_PROGRAM
    assert decode(result).memos == ("first", "zw\u00f6lf", "\ufffd\ufffd", "old", "")


def test_references_are_read_only_extras_whether_static_or_loaded():
    sheet = Paper(references=("order", "ledger"), loaded_writable=("b",), loaded_readonly=("invoice",))
    sheet.account("a", "gold", 10, 2).account("b", "gold", 0, 8).holds("shop", 5, 9)
    sheet.does(transfer("a", "b", 8, "order", "payer", "shop", "invoice"))
    sheet.does(paper.pay("payer", "shop", 4, "ledger", "order"))
    seen = sheet.decoded()
    assert [tuple(map(name_of, m.references)) for m in seen.movements] == [("order", "invoice"), ("ledger", "order")]
    assert tuple(map(name_of, seen.references)) == ("order", "invoice", "ledger")


def test_a_reference_on_a_real_transfer_is_found():
    world, reference = World(), Keypair().pubkey()
    action = world.transfer_checked(USDC, 0, 1, 5)
    (instruction,) = action.instructions
    done = world.send([Action([with_references(instruction, [reference])], action.moved)])
    assert decode(done.result("base64")).references == (str(reference),)


def test_a_multisig_owner_and_its_signers_are_no_references():
    world, multisig, account = World(), Keypair(), Keypair()
    payer, owners = world.wallets[0].pubkey(), [wallet.pubkey() for wallet in world.wallets[:2]]
    found = spl.initialize_multisig(
        models.InitializeMultisigParams(program_id=SPL, multisig=multisig.pubkey(), m=2, signers=owners)
    )
    fund = models.TransferParams(
        program_id=SPL, source=world.account(0, USDC), dest=account.pubkey(), owner=payer, amount=9
    )
    world.run(
        raw.create_account(payer, multisig.pubkey(), 5_000_000, space=355),
        found,
        raw.create_account(payer, account.pubkey(), 5_000_000),
        raw.initialize(account.pubkey(), USDC, multisig.pubkey()),
        spl.transfer(fund),
        signers=[multisig, account],
    )

    def spend(amount):
        ends = {"source": account.pubkey(), "dest": world.account(2, USDC), "owner": multisig.pubkey()}
        return spl.transfer(models.TransferParams(program_id=SPL, amount=amount, signers=owners, **ends))

    for instruction in (spend(5), batch_instruction([spend(4)])):
        (movement,) = decode(world.run(instruction).result("base64")).movements
        assert (movement.authority, movement.source_owner) == (str(multisig.pubkey()),) * 2
        assert movement.references == ()


# --- failed transactions, legacy transactions


def test_a_failed_transaction_moves_nothing_ever():
    sheet = _exchange(a=(10, 10), b=(0, 0)).does(transfer("a", "b", 3)).calls(transfer("a", "b", 4)).does(memo(b"hi"))
    sheet.error = {"InstructionError": [1, {"Custom": 1}]}
    seen = sheet.decoded()
    assert seen.failed
    assert (seen.movements, tuple(seen.transfers), seen.memos, seen.unexplained) == ((), (), (), ())
    assert [(name_of(c.account), c.pre, c.post) for c in seen.balances] == [("a", 10, 10), ("b", 0, 0)]
    assert next(c.pre - c.post for c in seen.lamports if name_of(c.account) == "payer") == paper.FEE


def test_a_failed_transaction_whose_lookup_tables_never_loaded_is_told_all_the_same():
    result = _exchange(a=(10, 10)).does(transfer("a", "b", 3)).result()
    result["meta"] |= {"err": "AddressLookupTableNotFound", "preTokenBalances": [], "postTokenBalances": []}
    result["meta"]["preBalances"] = result["meta"]["postBalances"] = [10**9]
    seen = decode(result)
    assert seen.failed
    assert [name_of(change.account) for change in seen.lamports] == ["payer"]


def test_a_legacy_transaction_has_no_loaded_addresses_at_all():
    result = _exchange(a=(10, 3), b=(0, 7)).does(transfer("a", "b", 7)).result()
    del result["meta"]["loadedAddresses"]
    result["version"] = "legacy"
    assert moves(decode(result)) == [("0", "transfer", "a", "b", 7)]
    world = World()
    done = world.send([world.transfer(USDC, 0, 1, 7), world.transfer_checked(PYUSD, 1, 0, 8)], legacy=True)
    assert (done.version, [m.amount for m in decode(done.result("base64")).movements]) == ("legacy", [7, 8])


# --- numbers


def _hand_checked_block() -> list[Paper]:
    """A block of the shape that was checked by hand on mainnet, see SOLANA.md.

    156 transfers in 45 transactions: 9 by outer instructions, 147 by inner ones in 40 groups of one outer index and
    stack height; 134 plain; 59 touching keys of lookup tables; and 433 more in failed transactions.
    """
    inner = [4] * 27 + [3] * 13
    assert (len(inner), sum(inner)) == (40, 147)
    checked, looked_up, sheets = 22, 59, []
    for number in range(45):
        groups = inner[:1] if number < 40 else []
        inner = inner[1:]
        outer = 1 if number >= 36 else 0
        size = outer + sum(groups)
        sheet = Paper(payer=f"payer{number}", loaded_writable=("b",) if looked_up >= size else ())
        looked_up -= size if looked_up >= size else 0
        calls = [transfer("a", "b", 1) for _ in range(size)]
        for at in range(min(checked, size)):
            calls[at] = transfer_checked("a", "gold", "b", 1, program="spl")
        checked -= min(checked, size)
        if outer:
            sheet.does(calls.pop())
        if groups:
            sheet.calls(*calls)
        sheets.append(sheet.account("a", "gold", 99, 99 - size).account("b", "gold", 0, size))
    assert (checked, looked_up) == (0, 0)
    for number, size in enumerate([50] * 8 + [33]):
        failed = Paper(payer=f"loser{number}", error={"InstructionError": [0, {"Custom": 6000}]})
        failed.calls(*(transfer("a", "b", 1) for _ in range(size)))
        sheets.append(failed.account("a", "gold", 99, 99).account("b", "gold", 0, 0))
    return sheets


def test_the_numbers_of_the_block_checked_by_hand():
    sheets = _hand_checked_block()
    block = {"parentSlot": 6, "blockTime": 1_700_000_000, "transactions": [sheet.result() for sheet in sheets]}
    seen = list(decode_block(block))
    transfers = [(observation.signature, movement) for observation in seen for movement in observation.transfers]
    assert len(transfers) == 156
    assert sum(any(observation.transfers) for observation in seen) == 45
    assert len({(signature, movement.path) for signature, movement in transfers}) == 156, "paths are unique"
    assert Counter(movement.kind for _, movement in transfers)[Kind.TRANSFER] == 134
    assert sum("." in movement.path for _, movement in transfers) == 147
    assert all(observation.unexplained == () for observation in seen)
    # What other keys would lose:
    assert 156 - len({signature for signature, _ in transfers}) == 111
    assert 156 - len({(signature, m.path.split(".")[0], m.path.count(".")) for signature, m in transfers}) == 107
    loaded = {
        observation.signature: set(map(address, sheet.loaded_writable))
        for observation, sheet in zip(seen, sheets, strict=True)
    }
    assert sum(movement.destination in loaded[signature] for signature, movement in transfers) == 59
    assert sum(len(sheet.inner.get(0, ())) for sheet in sheets if sheet.error) == 433
