"""Each fact of SOLANA.md about decoding, by its name. The facts about layouts, wrapped SOL and Token-2022
have files of their own."""

from collections import Counter

import pytest
from solders.keypair import Keypair
from spl.token import instructions as spl
from spl.token import models

from chain.decode import decode, decode_block
from chain.instructions import batch as batch_instruction
from chain.instructions import with_references
from chain.programs import MEMO_V1_PROGRAM
from ledger.observation import Kind
from tests.support import handwritten_transactions as handwritten
from tests.support import raw_instructions as raw
from tests.support.handwritten_transactions import (
    Call,
    Handwritten,
    address,
    batch,
    burn,
    exchange,
    findings,
    memo,
    moves,
    name_of,
    token,
    transfer,
    transfer_checked,
)
from tests.support.token_economy import PYUSD, SPL, USDC, Action, World

# --- keys


def test_keys_of_a_v0_transaction_are_static_then_loaded_writable_then_loaded_read_only():
    sheet = Handwritten(loaded_writable=("b", "a"), loaded_readonly=("gold", "spl"))
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
    sheet = exchange(a=(10, 6), b=(0, 4))
    sheet.calls(swap, *deep, swap, transfer("a", "b", 1), transfer("a", "b", 1))
    seen = sheet.decoded()
    assert moves(seen) == [(f"0.{at}", "transfer", "a", "b", 1) for at in (1, 2, 4, 5)]
    assert findings(seen) == []
    by_height = {(m.path.split(".")[0], sheet.inner[0][int(m.path.split(".")[1])].height) for m in seen.movements}
    assert len(by_height) == 2, "a key of outer index and stack height would lose half of them"


def _parts(call):
    return call.program, call.accounts, call.data


def test_inner_instructions_come_after_the_outer_one_that_called_them_and_before_the_next():
    sheet = exchange(a=(10, 0), b=(0, 10))
    sheet.does(transfer("a", "b", 1), transfer("a", "b", 2)).calls(transfer("a", "b", 3)).does(transfer("a", "b", 4))
    assert [(m.path, m.amount) for m in sheet.decoded().movements] == [("0", 1), ("0.0", 2), ("1.0", 3), ("2", 4)]


def test_inner_instructions_shown_in_two_groups_of_one_index_are_all_read():
    result = exchange(a=(10, 7), b=(0, 3)).calls(transfer("a", "b", 1), transfer("a", "b", 2)).result()
    (group,) = result["meta"]["innerInstructions"]
    result["meta"]["innerInstructions"] = [{**group, "instructions": [one]} for one in group["instructions"]]
    assert [(m.path, m.amount) for m in decode(result).movements] == [("0.0", 1), ("0.1", 2)]


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
    sheet = exchange(a=(10, 6), b=(0, 4)).does(batch(shared, burn("b", "gold", 0), transfer("a", "b", 3)))
    assert moves(sheet.decoded()) == [
        ("0.0", "transfer", "a", "b", 1),
        ("0.1", "burn", "b", None, 0),
        ("0.2", "transfer", "a", "b", 3),
    ]


@pytest.mark.parametrize("program", ["spl", "2022"])
def test_a_batch_inside_an_inner_instruction_has_paths_of_three_parts(program):
    parts = transfer("a", "b", 1, program=program), transfer("a", "b", 2, program=program)
    sheet = exchange(a=(10, 4), b=(0, 6)).calls(memo(b"x"), batch(*parts, program=program), transfer("a", "b", 3))
    assert [(m.path, m.amount) for m in sheet.decoded().movements] == [("0.1.0", 1), ("0.1.1", 2), ("0.2", 3)]


def test_a_part_of_a_batch_that_is_not_known_makes_its_own_accounts_unexplained():
    sheet = exchange(a=(10, 9), b=(0, 0), c=(5, 6)).does(batch(token("spl", b"\xc8", "a"), transfer("b", "c", 0)))
    assert [(account, difference) for account, difference, _ in findings(sheet.decoded())] == [("a", -1), ("c", 1)]


# --- memos and references


def test_both_memo_programs_are_read_in_order_with_text_that_is_not_utf8():
    sheet = Handwritten().does(memo(b"first")).calls(memo("zw\u00f6lf".encode()), memo(b"\xff\xfe", "memo"))
    sheet.does(memo(b"old", "memo v1")).does(memo(b""))
    result = sheet.result()
    keys = result["transaction"]["message"]["accountKeys"]
    keys[keys.index(address("memo v1"))] = MEMO_V1_PROGRAM
    assert decode(result).memos == ("first", "zw\u00f6lf", "\ufffd\ufffd", "old", "")


def test_references_are_read_only_extras_whether_static_or_loaded():
    sheet = Handwritten(references=("order", "ledger"), loaded_writable=("b",), loaded_readonly=("invoice",))
    sheet.account("a", "gold", 10, 2).account("b", "gold", 0, 8).holds("shop", 5, 9)
    sheet.does(transfer("a", "b", 8, "order", "payer", "shop", "invoice"))
    sheet.does(handwritten.pay("payer", "shop", 4, "ledger", "order"))
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
    sheet = exchange(a=(10, 10), b=(0, 0)).does(transfer("a", "b", 3)).calls(transfer("a", "b", 4)).does(memo(b"hi"))
    sheet.error = {"InstructionError": [1, {"Custom": 1}]}
    seen = sheet.decoded()
    assert seen.failed
    assert (seen.movements, tuple(seen.transfers), seen.memos, seen.unexplained) == ((), (), (), ())
    assert [(name_of(c.account), c.pre, c.post) for c in seen.balances] == [("a", 10, 10), ("b", 0, 0)]
    assert next(pre - post for key, (pre, post) in seen.lamports.items() if name_of(key) == "payer") == handwritten.FEE


def test_a_failed_transaction_whose_lookup_tables_never_loaded_is_decoded_all_the_same():
    result = exchange(a=(10, 10)).does(transfer("a", "b", 3)).result()
    result["meta"] |= {"err": "AddressLookupTableNotFound", "preTokenBalances": [], "postTokenBalances": []}
    result["meta"]["preBalances"] = result["meta"]["postBalances"] = [10**9]
    seen = decode(result)
    assert seen.failed
    assert [name_of(account) for account in seen.lamports] == ["payer"]


def test_a_legacy_transaction_has_no_loaded_addresses_at_all():
    result = exchange(a=(10, 3), b=(0, 7)).does(transfer("a", "b", 7)).result()
    del result["meta"]["loadedAddresses"]
    result["version"] = "legacy"
    assert moves(decode(result)) == [("0", "transfer", "a", "b", 7)]
    world = World()
    done = world.send([world.transfer(USDC, 0, 1, 7), world.transfer_checked(PYUSD, 1, 0, 8)], legacy=True)
    assert (done.version, [m.amount for m in decode(done.result("base64")).movements]) == ("legacy", [7, 8])


# --- numbers


def _hand_checked_block() -> list[Handwritten]:
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
        sheet = Handwritten(payer=f"payer{number}", loaded_writable=("b",) if looked_up >= size else ())
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
        failed = Handwritten(payer=f"loser{number}", error={"InstructionError": [0, {"Custom": 6000}]})
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
