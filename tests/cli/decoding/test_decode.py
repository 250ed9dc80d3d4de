"""`pay402 decode`: recorded answers in every form, held against what payers did, and files that are no answers."""

import asyncio
import gzip
import json
from collections import Counter
from types import SimpleNamespace

import pytest
from solders.keypair import Keypair

from chain.rpc import RpcPool
from cli.commands.decode import command
from localnet import Localnet
from localnet.market import open_market
from runtime.errors import OperatorError
from tests.support.command_line import pay402
from tests.support.databases import run_apart
from tests.support.sentences import assert_sentence

FIELDS = {
    "signature",
    "slot",
    "failed",
    "transfers",
    "otherMovements",
    "balanceChanges",
    "memos",
    "references",
    "unexplained",
}
TRANSFER_FIELDS = {
    "path",
    "kind",
    "program",
    "mint",
    "source",
    "destination",
    "sourceOwner",
    "destinationOwner",
    "amount",
    "fee",
}


@pytest.fixture(scope="module")
def recorded():
    """Payments of every kind on a localnet, as a node answers for them, and what their payers meant."""
    return run_apart(_record())


async def _record():
    async with (
        Localnet.start(slot_seconds=0.05) as net,
        open_market(net.rpc_url) as market,
        RpcPool([net.rpc_url]) as rpc,
    ):
        net.chain.tick(10)  # lookup tables are named after slots, of which a chain just born has none
        await market.prepare()
        net.chain.tick(4)  # and serve only in later ones
        for payment, payer in market.every_kind():
            await market.pay(payment, payer)
        net.chain.tick(4)
        await market.settled()

        async def ask(method, first, encoding):
            options = {"commitment": "confirmed", "encoding": encoding, "maxSupportedTransactionVersion": 0}
            return await rpc.call(method, [first, options], dict)

        signatures = [sent.signature for sent in market.sent]
        transactions = {
            encoding: [await ask("getTransaction", signature, encoding) for signature in signatures]
            for encoding in ("base64", "json", "jsonParsed")
        }
        slots = sorted({transaction["slot"] for transaction in transactions["json"]})
        blocks = {
            encoding: {slot: await ask("getBlock", slot, encoding) for slot in slots} for encoding in ("base64", "json")
        }
        return SimpleNamespace(
            signatures=signatures,
            failed={sent.signature for sent in market.sent if sent.payment.must_fail},
            expected=market.expected(),
            wallets=set(market.wallets),
            slots={one["transaction"]["signatures"][0]: one["slot"] for one in transactions["json"]},
            transactions=transactions,
            blocks=blocks,
        )


def assert_decoded(done, recorded):
    """Fail unless every transfer to a recipient was printed once, as it was meant, and nothing was unexplained."""
    lines = done.json_lines
    for line in lines:
        assert set(line) == FIELDS
        assert line["unexplained"] == []
        for transfer in line["transfers"]:
            assert set(transfer) == TRANSFER_FIELDS
            assert type(transfer["amount"]) is type(transfer["fee"]) is int
    assert {line["signature"] for line in lines} >= set(recorded.signatures)
    for line in lines:
        if line["signature"] in recorded.failed:
            assert line["failed"]
            assert line["transfers"] == line["otherMovements"] == line["balanceChanges"] == []
    printed = Counter(
        (line["signature"], one["mint"], one["source"], one["destination"], one["amount"] - one["fee"])
        for line in lines
        for one in line["transfers"]
        if one["destinationOwner"] in recorded.wallets
    )
    assert printed == recorded.expected
    transfers = sum(len(line["transfers"]) for line in lines)
    assert done.err == (
        f"decode: {len(lines)} transactions, {sum(line['failed'] for line in lines)} failed, {transfers} transfers, "
        "0 unexplained\n"
    )
    return lines


def written(path, content):
    if isinstance(content, str):
        content = content.encode()
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


@pytest.mark.parametrize("encoding", ["base64", "json"])
async def test_one_file_a_transaction(recorded, home, encoding):
    files = [
        written(home / f"{number}.json", transaction)
        for number, transaction in enumerate(recorded.transactions[encoding])
    ]
    lines = assert_decoded(await pay402("decode", *files, home=home), recorded)
    assert [line["signature"] for line in lines] == recorded.signatures
    assert {line["signature"]: line["slot"] for line in lines} == recorded.slots


async def test_answers_with_their_envelope_a_line_each_gzipped_from_standard_input(recorded, home):
    answers = [
        {"jsonrpc": "2.0", "result": result, "id": number}
        for number, result in enumerate(recorded.transactions["base64"])
    ]
    lines = "\n\n".join(map(json.dumps, answers)) + "\n"
    assert_decoded(await pay402("decode", "-", home=home, stdin=gzip.compress(lines.encode())), recorded)


async def test_a_list_of_answers_and_a_gzipped_file_beside_a_plain_one(recorded, home):
    first, *rest = recorded.transactions["json"]
    plain = written(home / "first.json", {"result": first, "id": 1})
    packed = written(home / "rest.json.gz", gzip.compress(json.dumps(rest).encode()))
    assert_decoded(await pay402("decode", plain, packed, home=home), recorded)


@pytest.mark.parametrize("encoding", ["base64", "json"])
async def test_blocks_and_their_slot_where_it_is_given(recorded, home, encoding):
    files = [
        written(home / f"{slot}.json", {"jsonrpc": "2.0", "result": block, "id": 1})
        for slot, block in recorded.blocks[encoding].items()
    ]
    done = await pay402("decode", *files, home=home)
    # Blocks do not tell their own slot.
    assert {line["slot"] for line in assert_decoded(done, recorded)} == {None}
    done = await pay402("decode", "--slot", "77", files[0], home=home)
    assert {line["slot"] for line in done.json_lines} == {77}


async def test_base64_and_json_show_the_same(recorded, home):
    first, second = await asyncio.gather(
        *(
            pay402("decode", written(home / encoding, recorded.transactions[encoding]), home=home)
            for encoding in ("base64", "json")
        )
    )
    assert first.json_lines == second.json_lines


async def test_memos_and_references_are_printed(recorded, home):
    file = written(home / "all.json", recorded.transactions["json"])
    lines = assert_decoded(await pay402("decode", file, home=home), recorded)
    (paid,) = [line for line in lines if line["references"]]
    assert paid["memos"][0].startswith("order ")
    assert len(paid["references"]) == 1


NOBODY = str(Keypair.from_seed(bytes([9]) * 32).pubkey())
META = {"err": None, "fee": 5000, "preBalances": [1], "postBalances": [1]}
HALF = gzip.compress(json.dumps({"transactions": [0] * 5000}).encode())
BROKEN_BODY = bytearray(gzip.compress(bytes(range(256)) * 64, mtime=0))
BROKEN_BODY[20:40] = bytes(20)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00\xff\xfe garbage", id="garbage"),
        pytest.param(HALF[: len(HALF) // 2], id="truncated gzip"),
        pytest.param(b"{}", id="object"),
        pytest.param({"jsonrpc": "2.0", "result": None, "id": 1}, id="null result"),
    ],
)
async def test_a_file_that_is_no_answer_is_one_sentence(home, content):
    done = await pay402("decode", written(home / "block.json", content), home=home)
    done.assert_refused(str(home / "block.json"))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b" \n\n", id="blank"),
        pytest.param(b"<html>It works!</html>", id="html"),
        pytest.param(b"\x1f\x8bgarbage", id="gzip in name only"),
        pytest.param(b"\x1f\x8b", id="two bytes of gzip"),
        pytest.param(bytes(BROKEN_BODY), id="gzip broken inside"),
        pytest.param(b'{"transaction": ', id="truncated JSON"),
        pytest.param(b'{"a": 1}\n{"b"', id="truncated lines"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="deep and closed"),
        pytest.param(b'"\xff"', id="no UTF-8"),
        pytest.param(b"null", id="null"),
        pytest.param(b"5", id="number"),
        pytest.param(b"[1, 2]", id="list of numbers"),
        pytest.param({"jsonrpc": "2.0", "result": [], "id": 1}, id="list result"),
        pytest.param({"result": {"context": {"slot": 1}, "value": None}, "id": 1}, id="account"),
        pytest.param({"error": {"code": -32004, "message": "Block not available"}, "id": 1}, id="error"),
        pytest.param({"error": "Block not available", "id": 1}, id="odd error"),
        pytest.param({"transaction": ["AAAA", "base64"], "meta": META}, id="base64 of nothing"),
        pytest.param({"transaction": ["%%%%", "base64"], "meta": META}, id="no base64"),
        pytest.param({"transaction": [], "meta": META}, id="no transaction"),
        pytest.param({"transaction": ["AAAA", "base64"], "meta": None}, id="no meta"),
        pytest.param({"transaction": {"signatures": [], "message": {}}, "meta": META}, id="empty message"),
        pytest.param(
            {
                "transaction": {
                    "signatures": [],
                    "message": {
                        "accountKeys": [NOBODY],
                        "header": {
                            "numRequiredSignatures": 1,
                            "numReadonlySignedAccounts": 0,
                            "numReadonlyUnsignedAccounts": 0,
                        },
                        "instructions": [],
                    },
                },
                "meta": META,
            },
            id="no signature",
        ),
        pytest.param({"transactions": 5, "parentSlot": 1}, id="block of a number"),
        pytest.param({"transactions": [{"meta": META}], "parentSlot": 1}, id="block of signatures"),
        pytest.param({"signatures": ["a"], "parentSlot": 1}, id="block without transactions"),
    ],
)
def test_whatever_is_no_answer_is_refused(home, content):
    file = str(written(home / "block.json", content))
    with pytest.raises(OperatorError) as raised:
        command([file])
    assert_sentence(str(raised.value), naming=(file,))


async def test_a_recorded_answer_in_another_encoding_is_one_sentence(recorded, home):
    file = written(home / "parsed.json", recorded.transactions["jsonParsed"][0])
    (await pay402("decode", file, home=home)).assert_refused(str(file), "encoding base64 or json")


@pytest.mark.parametrize("spoilt", [{"meta": META}, {"transaction": ["AAAA", "base64"], "meta": META}, "5sig"])
async def test_a_bad_transaction_loses_none_of_the_rest_of_its_block(recorded, home, spoilt):
    good = recorded.transactions["base64"]
    block = {"parentSlot": 1, "transactions": [good[0], spoilt, *good[1:]]}
    done = await pay402("decode", written(home / "block.json", block), home=home)
    assert done.code == 1
    assert [json.loads(line)["signature"] for line in done.out.splitlines()] == recorded.signatures
    summary, sentence = done.err.splitlines()
    assert summary.startswith(f"decode: {len(good)} transactions, ")
    assert f"Transaction 1 of the block in {home / 'block.json'} cannot be read: " in sentence
    assert sentence.endswith("all others are printed; record it again in base64 or json.")


async def test_what_came_before_the_broken_line_is_printed(recorded, home):
    good, *_ = recorded.transactions["json"]
    done = await pay402("decode", "-", home=home, stdin=json.dumps(good).encode() + b'\n{"result": null, "id": 2}\n')
    assert done.code == 1
    assert [json.loads(line)["signature"] for line in done.out.splitlines()] == recorded.signatures[:1]
    assert "null" in done.err


@pytest.mark.parametrize("file", ["nowhere.json", ".", "nowhere/at/all.json"])
async def test_a_file_that_cannot_be_read_is_one_sentence(home, file):
    (await pay402("decode", home / file, home=home)).assert_refused(str(home / file), "check the path")


async def test_empty_standard_input_is_one_sentence(home):
    (await pay402("decode", "-", home=home)).assert_refused("standard input")
