"""What a node may answer that no node should: an error of ours that says so, never a crash, a hang or a wrong row."""

import asyncio
import base64
import functools
import itertools
import json
import random
import time
from contextlib import suppress
from copy import deepcopy

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain.base58 import b58decode, b58encode
from chain.decode import MalformedAnswerError, TransactionResult, decode, decode_block
from chain.node import Node
from chain.rpc import RetryableRpcError, RpcLimits, RpcPool
from ledger.observation import Observation
from tests.support.api_client import running_api
from tests.support.handwritten_transactions import Call, Handwritten, address, transfer
from tests.support.ledger_rows import Vendor, new_signature
from tests.support.scripted_nodes import Reply, scripted
from tests.support.token_economy import FEE_MINT, PYUSD, USDC, World

U64 = 2**64
SEEDED = settings(
    max_examples=1000, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
ODD = (
    None, True, False, -1, 0, 1, 255, 2**31, 2**63, U64, 10**40, -(10**40), 1.5, 1e300, "", "0", "-1", "\u0661", "1_0",
    " 1", "9" * 5000, "x", "1" * 44, "\0", "\ud83d", [], [[]], [-1], [999], {}, {"a": 1}, [None], "z" * 20_000,
)  # fmt: skip


@functools.cache
def answers():
    """Real answers, of every kind of transaction, in both encodings."""
    world = World()
    done = [
        world.send([world.transfer(USDC, 0, 1, 5), world.wrap(0, 1, 77)]),
        world.send([world.transfer_checked(FEE_MINT, 0, 1, 12_345)]),
        world.send([world.transfer_checked(PYUSD, 0, 1, 1), world.pay_lamports(0, 1, 5)]),
        world.send([world.in_batch([world.transfer(USDC, 0, 1, 5), world.burn(USDC, 0, 3)])]),
    ]
    written = Handwritten().account("a", "gold", 10, 3).account("b", "gold", 0, 7)
    written = written.does(transfer("a", "b", 3, "ref")).calls(transfer("a", "b", 4))
    return [*(one.result(encoding) for one in done for encoding in ("json", "base64")), written.result()]


def places(value, path=()):
    """Every place in JSON, the whole included."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def changed(answer, path, change):
    """`answer` with what is at `path` replaced, left out or doubled."""
    answer = deepcopy(answer)
    if not path:
        return change[1] if change[0] == "replace" else answer
    within = functools.reduce(lambda value, key: value[key], path[:-1], answer)
    match change:
        case "replace", value:
            within[path[-1]] = value
        case "drop", _:
            del within[path[-1]]
        case "double", _ if isinstance(within, list):
            within.insert(path[-1], within[path[-1]])
    return answer


def is_sound(seen: Observation):
    """What is decoded can be written: figures are amounts, names are texts."""
    for change in seen.balances:
        assert 0 <= change.pre < U64, change
        assert 0 <= change.post < U64, change
    for account, lamports in seen.lamports.items():
        assert all(0 <= balance < U64 for balance in lamports), account
    for movement in seen.movements:
        assert 0 <= movement.fee <= movement.amount < U64, movement
    assert not (seen.failed and seen.movements)
    assert all(isinstance(memo, str) for memo in seen.memos)


def decoded(answer):
    """Decode what comes off the wire, read as a transaction and as anything. Only refusals of ours are fine."""
    raw = json.dumps(answer).encode()
    for kind in (TransactionResult, dict):
        try:
            form = msgspec.json.decode(raw, type=kind)
        except msgspec.DecodeError:
            continue  # which the RPC client makes an error of the node's
        with suppress(MalformedAnswerError):
            is_sound(decode(form))


def test_every_place_of_an_answer_may_hold_anything():
    """Not at random: each place of each answer, with each oddity."""
    count = 0
    changes = [*(("replace", odd) for odd in ODD), ("drop", None), ("double", None)]
    for answer in answers():
        for path in places(answer):
            # Values are quick to try; whole answers need not be twisted in each of their bytes.
            for change in changes:
                decoded(changed(answer, path, change))
                count += 1
    assert count > 10_000


@SEEDED
@given(st.data())
def test_several_oddities_at_once(data):
    answer = data.draw(st.sampled_from(answers()))
    for _ in range(data.draw(st.integers(2, 6))):
        path = data.draw(st.sampled_from(list(places(answer))[1:] or [()]))
        kind = data.draw(st.sampled_from(["replace", "drop", "double"]))
        answer = changed(answer, path, (kind, data.draw(st.sampled_from(ODD))))
        if not isinstance(answer, dict):
            break
    decoded(answer)


NAMES = ("a", "b", "c", "gold", "wsol", "owner", "payer")
CALLS = st.builds(
    Call,
    st.sampled_from(["spl", "2022", "system", "memo"]),
    st.lists(st.sampled_from(NAMES), max_size=6).map(tuple),
    st.builds(lambda kind, rest: bytes([kind]) + rest, st.integers(0, 255), st.binary(max_size=70))
    | st.binary(max_size=4),
)
BALANCE = st.none() | st.integers(0, 3) | st.integers(0, U64 - 1)


@SEEDED
@given(st.lists(CALLS, max_size=6), st.lists(CALLS, max_size=4), st.lists(BALANCE, min_size=4, max_size=4))
def test_instructions_of_any_bytes_are_decoded_or_unexplained(outer, inner, balances):
    sheet = Handwritten().account("a", "gold", balances[0], balances[1]).account("b", "wsol", balances[2], balances[3])
    for call in outer:
        sheet.does(call)
    if inner:
        sheet.calls(*inner)
    answer = sheet.result()
    # Wrapped SOL of that much is more lamports than there are.
    for side in ("preBalances", "postBalances"):
        answer["meta"][side] = [min(amount, 2**62) for amount in answer["meta"][side]]
    decoded(answer)


@SEEDED
@given(st.binary(max_size=300), st.sampled_from(["base64", "base58"]))
def test_transactions_of_any_bytes_are_refused(raw, encoding):
    text = base64.b64encode(raw).decode() if encoding == "base64" else b58encode(raw)
    good = deepcopy(answers()[1])
    decoded({**good, "transaction": [text, encoding]})


def test_transactions_with_a_bit_turned_are_decoded_or_refused():
    coin = random.Random(402)
    good = next(answer for answer in answers() if isinstance(answer["transaction"], list))
    raw = base64.b64decode(good["transaction"][0])
    for _ in range(3000):
        turned = bytearray(raw[: coin.choice((len(raw), len(raw), coin.randrange(1, len(raw))))])
        for _ in range(coin.randint(1, 3)):
            turned[coin.randrange(len(turned))] ^= 1 << coin.randrange(8)
        decoded({**good, "transaction": [base64.b64encode(turned).decode(), "base64"]})


def test_a_block_with_a_bad_transaction_is_refused_as_that():
    for bad in ({}, {"transactions": [{}]}, {"transactions": [{"transaction": ["", "base64"], "meta": None}]}, []):
        with pytest.raises(MalformedAnswerError):
            list(decode_block(bad))


def test_endless_base58_costs_nothing():
    """Decoding takes time by the square of the length; an instruction's data is at most 10 KB."""
    started = time.monotonic()
    for text in ("z" * 5_000_000, "1" * 5_000_000):
        with pytest.raises(ValueError, match="longer"):
            b58decode(text)
    assert time.monotonic() - started < 1
    long = bytes(range(256)) * 40
    assert b58decode(b58encode(long)) == long


RETRY_AFTER = (
    "nan", "inf", "-inf", "1e999", "-1", "", "soon", "\u0661", "0x10", "Thu, 01 Jan 1970",
    "Fri, 31 Dec 9999 23:59:59 +0000", "Fri, 31 Dec 9999 23:59:59 -2359",
    "Mon, 01 Jan 0001 00:00:00 -2359", "Mon, 01 Jan 0001 00:00:00 +9959",
)  # fmt: skip


@pytest.mark.parametrize("header", RETRY_AFTER)
async def test_no_wish_of_a_node_to_be_left_alone_stops_the_process(header):
    limits = RpcLimits(answer_seconds=1, attempts=2, call_seconds=0.5)
    async with (
        scripted([Reply(status=429, headers={"Retry-After": header})], [Reply(result=7)]) as (busy, well),
        RpcPool([busy.url, well.url], limits) as pool,
    ):
        async with asyncio.timeout(5):
            assert await pool.call("getSlot", [], int) == 7
        # Alone, it is a failure after the time that a call may take.
        async with RpcPool([busy.url], limits) as alone, asyncio.timeout(5):
            with pytest.raises(RetryableRpcError):
                await alone.call("getSlot", [], int)


DEEP = "[" * 100_000 + "]" * 100_000
ANSWERS = {
    "depth": '{"jsonrpc": "2.0", "id": 1, "result": ' + DEEP + "}",
    "depth where it is not read": '{"jsonrpc": "2.0", "id": 1, "more": ' + DEEP + ', "result": null}',
    "depth in an error": '{"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "m", "data": ' + DEEP + "}}",
    "no JSON": "<html>",
    "nothing": "",
    "no UTF-8": b'{"result": "\xff"}',
    "a lone surrogate": '{"jsonrpc": "2.0", "id": 1, "result": "\\ud800"}',
    "a huge number": '{"jsonrpc": "2.0", "id": 1, "result": ' + "9" * 100_000 + "}",
    "a list": "[]",
    "both": '{"jsonrpc": "2.0", "id": 1, "result": {}, "error": {"code": "x", "message": 1}}',
}


@pytest.mark.parametrize("said", ANSWERS)
async def test_what_a_node_says_instead_of_an_answer_is_an_error_of_ours(said):
    async with (
        scripted([Reply(body=ANSWERS[said])]) as (node,),
        RpcPool([node.url], RpcLimits(answer_seconds=1, attempts=1, call_seconds=2)) as pool,
    ):
        with pytest.raises(RetryableRpcError):
            await Node(pool).transaction(new_signature())


async def test_another_transaction_than_the_one_asked_for_decides_no_claim(database_url, redis_url, pool):
    """It failed, or pays somebody else: said of another transaction, that is nothing."""
    failed, other = (
        Handwritten(error={"x": 1}).result(),
        Handwritten().account("a", "gold", 1, 0).account("b", "gold", 0, 1),
    )
    for answer in (failed, other.does(transfer("a", "b", 1)).result()):
        async with (
            scripted([Reply(result=answer)]) as (node,),
            running_api(database_url, redis_url, [node.url], VERIFY_WAIT_MS=800) as api,
        ):
            vendor = await Vendor(api, pool).open()
            asked = new_signature()
            assert asked != answer["transaction"]["signatures"][0]
            assert (await vendor.client.verify(vendor.proof(asked))).code == "PAYMENT_PENDING"
            assert "getTransaction" in node.methods


def test_addresses_of_the_paper_are_no_accident():
    """The tests above rely on names that differ."""
    assert len({address(name) for name in itertools.chain(NAMES, ("ref", "router"))}) == len(NAMES) + 2
