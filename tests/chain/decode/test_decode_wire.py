"""What nodes have answered over the years, what they should not answer, and how long a block takes."""

import base64
import sys
from copy import deepcopy

import msgspec
import pytest
from solders.hash import Hash
from solders.instruction import CompiledInstruction
from solders.keypair import Keypair
from solders.message import MessageHeader, MessageV1, TransactionConfig
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from chain.base58 import b58decode, b58encode
from chain.decode import BlockResult, MalformedAnswerError, TransactionResult, decode, decode_block
from tests.support.handwritten_transactions import (
    FEE,
    Handwritten,
    address,
    findings,
    moves,
    name_of,
    transfer,
    transfer_checked,
)
from tests.support.token_economy import FEE_MINT, PYUSD, USDC, World


def sheet() -> Handwritten:
    written = Handwritten().account("a", "gold", 10, 3).account("b", "gold", 0, 7)
    return written.does(transfer("a", "b", 3)).calls(transfer("a", "b", 4))


def reported(**meta) -> dict:
    """The sheet's answer with another meta; `None` leaves an entry out."""
    result = sheet().result()
    result["meta"] |= meta
    result["meta"] = {name: value for name, value in result["meta"].items() if value is not ...}
    return result


# --- old and sparing answers


@pytest.mark.parametrize("absent", [None, ...], ids=["null", "missing"])
@pytest.mark.parametrize("entry", ["loadedAddresses", "logMessages"])
def test_entries_that_a_node_may_leave_out(entry, absent):
    assert decode(reported(**{entry: absent})) == decode(reported())


@pytest.mark.parametrize("absent", [None, ...], ids=["null", "missing"])
def test_balances_that_were_not_recorded_leave_the_mint_unknown(absent):
    seen = decode(reported(preTokenBalances=absent, postTokenBalances=absent))
    assert [(path, amount) for path, *_, amount in moves(seen)] == [("0", 3), ("1.0", 4)]
    assert findings(seen) == [("a", 3, "no account tells the mint"), ("a", 4, "no account tells the mint")]


@pytest.mark.parametrize("absent", [None, ...], ids=["null", "missing"])
def test_checked_movements_without_any_balances_are_unexplained(absent):
    """The instruction names the mint, so that nothing else would say that the node knows no balance."""
    written = Handwritten().account("a", "gold", 10, 6).account("b", "gold", 0, 4)
    result = written.does(transfer_checked("a", "gold", "b", 4, program="spl")).result()
    assert findings(decode(result)) == []
    result["meta"] |= {"preTokenBalances": absent, "postTokenBalances": absent}
    result["meta"] = {name: value for name, value in result["meta"].items() if value is not ...}
    seen = decode(result)
    assert moves(seen) == [("0", "transferChecked", "a", "b", 4)]
    assert findings(seen) == [
        ("a", -4, "the node reports no token balances"),
        ("b", 4, "the node reports no token balances"),
    ]


def test_balances_from_before_that_were_not_recorded_are_taken_from_after():
    seen = decode(reported(preTokenBalances=None))
    assert [m.mint for m in seen.movements] == [address("gold")] * 2
    assert [name_of(m.source_owner) for m in seen.movements] == ["a's owner"] * 2
    assert findings(seen) == [("a", 10, "no instruction shows it")], "what it spent it must have had"


@pytest.mark.parametrize("absent", [None, ...], ids=["null", "missing"])
def test_inner_instructions_that_were_not_recorded_show_in_the_balances(absent):
    seen = decode(reported(innerInstructions=absent))
    assert moves(seen) == [("0", "transfer", "a", "b", 3)]
    assert findings(seen) == [("a", -4, "no instruction shows it"), ("b", 4, "no instruction shows it")]


def test_balances_of_an_old_block_name_neither_owner_nor_program():
    result = sheet().result()
    for side in ("preTokenBalances", "postTokenBalances"):
        for balance in result["meta"][side]:
            del balance["owner"], balance["programId"]
    seen = decode(result)
    assert [(m.source_owner, m.destination_owner, m.mint) for m in seen.movements] == [
        (None, None, address("gold"))
    ] * 2
    assert [(change.owner, change.program) for change in seen.balances] == [(None, None)] * 2
    assert findings(seen) == []


@pytest.mark.parametrize(
    ("block_time", "seconds"),
    [(1_700_000_000, 1_700_000_000), (None, None), (0, None), (-1, None), (1_700_000_000_000, None), ("soon", None)],
)
def test_only_a_plausible_block_time_is_believed(block_time, seconds):
    assert decode({**sheet().result(), "blockTime": block_time}).block_time_seconds == seconds


def test_a_block_gives_its_time_to_transactions_that_do_not():
    one, other = sheet().result(), sheet().result()
    del one["blockTime"], one["slot"]
    seen = list(decode_block({"blockTime": 1_600_000_000, "transactions": [one, other]}))
    assert [o.block_time_seconds for o in seen] == [1_600_000_000, 1_700_000_000]
    assert [o.slot for o in seen] == [None, 7]


def test_version_1_transactions_are_read():
    payer, source, target, owner = Keypair(), *(Pubkey.from_string(address(name)) for name in ("a", "b", "owner"))
    program = Pubkey.from_string(address("spl"))
    instruction = CompiledInstruction(4, b"\x03" + (7).to_bytes(8, "little"), bytes([1, 2, 3]))
    keys = [payer.pubkey(), source, target, owner, program]
    message = MessageV1(MessageHeader(1, 0, 1), TransactionConfig(), Hash.new_unique(), keys, [instruction])
    raw = bytes(VersionedTransaction(message, [payer]))
    assert raw[0] == 129
    result = Handwritten().account("a", "gold", 10, 3).account("b", "gold", 0, 7).does(transfer("a", "b", 7)).result()
    result["meta"]["preBalances"] = result["meta"]["postBalances"] = [1] * 5
    result |= {"transaction": [base64.b64encode(raw).decode(), "base64"], "version": 1}
    seen = decode(result)
    assert moves(seen) == [("0", "transfer", "a", "b", 7)]
    assert seen.signature == str(VersionedTransaction.from_bytes(raw).signatures[0])


def test_every_encoding_of_a_real_transaction_shows_the_same():
    done = World().executed[-1]
    observations = [decode(done.result(how)) for how in ("json", "base64", "base58")]
    assert observations == observations[:1] * 3
    typed = msgspec.convert(done.result("base64"), TransactionResult)
    assert decode(typed) == observations[0]
    bare = done.result("base58")
    bare["transaction"] = bare["transaction"][0]
    assert decode(bare) == observations[0]


# --- answers that are none


def _without_signature(result):
    result["transaction"]["signatures"] = []


def _parsed(result):
    message = result["transaction"]["message"]
    message["accountKeys"] = [{"pubkey": key, "signer": False} for key in message["accountKeys"]]


def _other_encoding(result):
    result["transaction"] = ["KLUv", "base64+zstd"]


def _not_base64(result):
    result["transaction"] = ["???", "base64"]


def _cut_short(result):
    result["transaction"] = [base64.b64encode(bytes(70)).decode(), "base64"]


def _not_base58(result):
    result["transaction"]["message"]["instructions"][0]["data"] = "0OIl"


def _unknown_program(result):
    result["transaction"]["message"]["instructions"][0]["programIdIndex"] = 99


def _unknown_account(result):
    result["meta"]["innerInstructions"][0]["instructions"][0]["accounts"][0] = 99


def _negative_account(result):
    result["meta"]["innerInstructions"][0]["instructions"][0]["accounts"][0] = -1


def _negative_balance_index(result):
    result["meta"]["postTokenBalances"][0]["accountIndex"] = -1


def _unknown_balance_index(result):
    result["meta"]["postTokenBalances"][0]["accountIndex"] = 99


def _inner_of_nothing(result):
    result["meta"]["innerInstructions"][0]["index"] = 9


def _balance_missing(result):
    result["meta"]["postBalances"].pop()


def _lookup_tables_left_out(result):
    result["transaction"]["message"]["accountKeys"].pop()


def _no_meta(result):
    result["meta"] = None


def _meta_of_text(result):
    result["meta"] = "ok"


SPOILS = [
    _without_signature, _parsed, _other_encoding, _not_base64, _cut_short, _not_base58, _unknown_program,
    _unknown_account, _negative_account, _negative_balance_index, _unknown_balance_index, _inner_of_nothing,
    _balance_missing, _lookup_tables_left_out, _no_meta, _meta_of_text,
]  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_an_answer_of_another_form_is_malformed_and_nothing_else(spoil):
    result = deepcopy(sheet().result())
    spoil(result)
    with pytest.raises(MalformedAnswerError):
        decode(result)
    with pytest.raises(MalformedAnswerError):
        list(decode_block({"transactions": [sheet().result(), result]}))


@pytest.mark.parametrize("side", ["preTokenBalances", "postTokenBalances"])
@pytest.mark.parametrize(
    "amount", ["1.5", "", "-1", "+1", " 1", "1_0", "1e3", "\u0661", "\u00b2", "0x10", str(2**64), "1" * 5_000, 7, None]
)
def test_an_amount_is_digits_that_a_token_account_can_hold_or_the_answer_is_malformed(side, amount):
    result = deepcopy(sheet().result())
    result["meta"][side][0]["uiTokenAmount"]["amount"] = amount
    with pytest.raises(MalformedAnswerError):
        decode(result)
    result["meta"][side][0]["uiTokenAmount"]["amount"] = str(2**64 - 1)
    assert 2**64 - 1 in {getattr(change, side.removesuffix("TokenBalances")) for change in decode(result).balances}


@pytest.mark.parametrize("block", [{}, {"transactions": None}, {"transactions": ["5sig"]}, []])
def test_a_block_of_another_form_is_malformed(block):
    with pytest.raises(MalformedAnswerError):
        list(decode_block(block))


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\x01", b"\xff" * 64, bytes(32)])
def test_base58_there_and_back(data):
    assert b58decode(b58encode(data)) == data


# --- a whole block


def test_a_block_of_1500_transactions_is_decoded_to_the_unit():
    world, transactions = World(), []
    for n in range(30):
        done = world.send(
            [
                world.in_batch([world.transfer(USDC, 0, 1, n + 1) for _ in range(8)]),
                world.wrapped_purse(0, 1, 1_000 + n, 500),
                world.through_temporary_account(USDC, 1, 2, 3),
                world.transfer_checked(PYUSD, 1, 2, 5),
                world.transfer_checked(FEE_MINT, 1, 2, 5),
                world.wrap(0, 2, 7),
            ],
            payer=n % 3,
        )
        assert done.err is None
        transactions.append(done.encoded("base64"))
    block = {"parentSlot": 1, "blockTime": 1_700_000_000, "transactions": transactions * 50}
    raw = msgspec.json.encode(block)
    seen = list(decode_block(msgspec.json.decode(raw, type=BlockResult)))
    assert len(seen) == 1_500
    assert sum(len(observation.movements) for observation in seen) == 1_500 * 17
    assert all(observation.unexplained == () for observation in seen)


def test_the_work_for_a_transaction_grows_no_faster_than_its_instructions():
    """Ten times the accounts and transfers cost about ten times the lines run; a square would cost a hundred times."""

    def lines_run(accounts):
        written = Handwritten().account("a", "gold", 10**6, 10**6 - accounts)
        for n in range(accounts):
            written.account(f"b{n}", "gold", 0, 1)
        result = written.calls(*(transfer("a", f"b{n}", 1) for n in range(accounts))).result()
        typed = msgspec.convert(result, TransactionResult)
        lines = 0

        def count(_, event, __):
            nonlocal lines
            lines += event == "line"
            return count

        before = sys.gettrace()
        sys.settrace(count)
        try:
            seen = decode(typed)
        finally:
            sys.settrace(before)
        assert (len(seen.movements), seen.unexplained) == (accounts, ())
        return lines

    assert lines_run(1_000) < 15 * lines_run(100)


def test_the_fee_of_the_payer_is_in_its_lamports():
    ((before, after),) = (pair for key, pair in sheet().decoded().lamports.items() if name_of(key) == "payer")
    assert before - after == FEE
