"""Each fact about a node's behaviour that has cost somebody a payment."""

import json

import pytest
from solders.signature import Signature

from tests.localnet.conftest import refusal
from tests.support.wallets import USD, USDC, memo, wallet

V0 = {"maxSupportedTransactionVersion": 0}
UNKNOWN = str(Signature.default())


# --- requests


async def test_what_is_no_json_is_a_parse_error(wire):
    async with wire.session.post(wire.url, data=b'{"jsonrpc":') as response:
        answer = await response.json()
    assert answer == {"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": None}


@pytest.mark.parametrize("body", [{}, {"jsonrpc": "2.0", "id": 1}, {"id": 1, "method": "getSlot"}, 5, []])
async def test_what_is_no_request_is_invalid(wire, body):
    async with wire.session.post(wire.url, json=body) as response:
        assert (await response.json())["error"]["code"] == -32600


async def test_an_unknown_method_is_not_found(wire):
    error = await refusal(wire("getEverything"))
    assert (error.code, error.message) == (-32601, "Method not found")


async def test_a_defect_is_an_internal_error_in_the_words_of_the_protocol(net, wire, monkeypatch, capfd):
    def broken(*_):
        raise KeyError("nobody thought of this")

    monkeypatch.setattr(net.chain, "is_recent", broken)
    error = await refusal(wire("isBlockhashValid", "1" * 32))
    assert (error.code, error.message) == (-32603, "Internal error")
    reported = capfd.readouterr()
    assert "nobody thought of this" in reported.out + reported.err


@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        ("getBalance", [], "`params` should have at least 1 argument(s)"),
        ("getBalance", [5], "Invalid params: invalid type: integer `5`, expected a string."),
        ("getBalance", ["short"], "Invalid param: WrongSize"),
        ("getBalance", ["0" * 44], "Invalid param: Invalid"),
        ("getTransaction", ["short"], "Invalid param: WrongSize"),
        ("isBlockhashValid", [5], "Invalid params: invalid type: integer `5`, expected a string."),
        ("isBlockhashValid", ["short"], "Invalid param: WrongSize"),
        ("isBlockhashValid", ["1" * 500], "Invalid param: WrongSize"),
        ("isBlockhashValid", ["0" * 44], "Invalid param: Invalid"),
        ("getBlock", ["5"], 'Invalid params: invalid type: string "5", expected u64.'),
        ("getBlock", [-1], "Invalid params: invalid value: integer `-1`, expected u64."),
        ("getSlot", [{"commitment": "sure"}], "Invalid params: unknown variant `sure`"),
        (
            "getBlock",
            [5, {"commitment": "processed"}],
            "Method does not support commitment below `confirmed`",
        ),
        (
            "getSignaturesForAddress",
            [str(USDC), {"commitment": "processed"}],
            "Method does not support commitment below `confirmed`",
        ),
        ("getTokenAccountBalance", [str(USDC)], "Invalid param: not a Token account"),
        ("getTokenAccountBalance", [str(wallet(70).pubkey())], "Invalid param: could not find account"),
        (
            "getTokenAccountsByOwner",
            [str(USDC), {"mint": str(wallet(70).pubkey())}],
            "Invalid param: could not find mint",
        ),
        (
            "getTokenAccountsByOwner",
            [str(USDC), {"programId": str(USDC)}],
            "Invalid param: unrecognized Token program id",
        ),
        ("sendTransaction", ["0OIl"], "invalid base58 encoding"),
        ("sendTransaction", ["1" * 2000], "too large: 2000 bytes (max: encoded/raw 1683/1232)"),
        ("sendTransaction", ["AQ==", {"encoding": "base64"}], "failed to deserialize"),
        ("sendTransaction", ["A" * 1644, {"encoding": "base64"}], "too large: 1233 bytes (max: 1232 bytes)"),
        ("getSlot", {"commitment": "confirmed"}, "`params` should be an array"),
    ],
)
async def test_a_wrong_parameter_is_named(wire, method, params, message):
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    async with wire.session.post(wire.url, json=body) as response:
        error = (await response.json())["error"]
    assert error["code"] == -32602
    assert message in error["message"]


async def test_a_batch_is_answered_in_order_and_notifications_are_not(wire):
    calls = [
        {"jsonrpc": "2.0", "id": 1, "method": "getHealth"},
        {"jsonrpc": "2.0", "method": "getHealth"},
        {"jsonrpc": "2.0", "id": "two", "method": "nope"},
    ]
    async with wire.session.post(wire.url, json=calls) as response:
        answers = await response.json()
    assert answers[0] == {"jsonrpc": "2.0", "result": "ok", "id": 1}
    assert [answer["id"] for answer in answers] == [1, "two"]
    assert answers[1]["error"]["code"] == -32601


# --- limits


async def test_a_page_of_history_holds_1_to_1000(wire):
    for limit in (0, 1001):
        error = await refusal(wire("getSignaturesForAddress", str(USDC), {"limit": limit}))
        assert (error.code, error.message) == (-32602, "Invalid limit; max 1000")
    assert await wire("getSignaturesForAddress", str(USDC), {"limit": 1000}) == []


async def test_at_most_256_statuses_at_once(wire):
    error = await refusal(wire("getSignatureStatuses", [UNKNOWN] * 257))
    assert (error.code, error.message) == (-32602, "Too many inputs provided; max 256")
    assert (await wire("getSignatureStatuses", [UNKNOWN] * 256))["value"] == [None] * 256


async def test_at_most_100_accounts_at_once(wire):
    error = await refusal(wire("getMultipleAccounts", [str(USDC)] * 101))
    assert (error.code, error.message) == (-32602, "Too many inputs provided; max 100")
    assert len((await wire("getMultipleAccounts", [str(USDC)] * 100))["value"]) == 100


async def test_a_minimum_context_slot_in_the_future_is_an_error_with_the_nodes_slot(net, wire):
    wanted = {"minContextSlot": net.chain.open.slot + 1, "commitment": "processed"}
    for method, params in (
        ("getSlot", [wanted]),
        ("getBalance", [str(USDC), wanted]),
        ("getSignaturesForAddress", [str(USDC), {**wanted, "commitment": "confirmed"}]),
        ("getLatestBlockhash", [wanted]),
    ):
        error = await refusal(wire(method, *params))
        assert (error.code, error.message) == (-32016, "Minimum context slot has not been reached")
        assert error.data["contextSlot"] < wanted["minContextSlot"]
    wanted["minContextSlot"] -= 1
    assert await wire("getSlot", wanted) == net.chain.open.slot


# --- transactions


async def test_a_transaction_is_null_until_it_reaches_the_commitment(net, wire, street):
    signature = street.pay(1).signature
    confirmed, finalized = {**V0, "commitment": "confirmed"}, V0
    assert await wire("getTransaction", signature, confirmed) is None
    net.chain.tick(2)
    assert (await wire("getTransaction", signature, confirmed))["slot"] == 5
    assert await wire("getTransaction", signature, finalized) is None
    net.chain.tick(3)
    assert (await wire("getTransaction", signature, finalized))["slot"] == 5
    assert await wire("getTransaction", UNKNOWN, V0) is None


async def test_a_v0_transaction_is_an_error_for_a_client_that_names_no_version(net, wire, street):
    new, old = street.pay(1), street.pay(2, legacy=True)
    net.chain.tick(6)
    for method, subject in (("getTransaction", new.signature), ("getBlock", new.slot)):
        error = await refusal(wire(method, subject))
        assert error.code == -32015
        assert error.message.startswith("Transaction version (0) is not supported by the requesting client.")
        assert '"maxSupportedTransactionVersion": 0' in error.message
    assert "version" not in await wire("getTransaction", old.signature)
    assert (await wire("getTransaction", old.signature, V0))["version"] == "legacy"


async def test_an_unknown_before_looks_like_the_end_and_an_unknown_until_is_no_bound(net, wire, street):
    for amount in (1, 2, 3):
        street.pay(amount)
    net.chain.tick(2)
    asked = {"commitment": "confirmed"}
    address = str(street.to_account)
    everything = await wire("getSignaturesForAddress", address, asked)
    assert len(everything) == 4
    assert await wire("getSignaturesForAddress", address, {**asked, "before": UNKNOWN}) == []
    assert await wire("getSignaturesForAddress", address, {**asked, "until": UNKNOWN}) == everything


async def test_history_includes_failed_transactions_and_orders_those_of_one_slot(net, wire, street):
    good, bad = street.pay(1, memo("a"), memo("é")), street.pay(5000 * USD)
    net.chain.tick(2)
    entries = await wire("getSignaturesForAddress", str(street.to_account), {"commitment": "confirmed"})
    assert entries[0] == {
        "signature": bad.signature,
        "slot": bad.slot,
        "err": {"InstructionError": [0, {"Custom": 1}]},
        "memo": None,
        "blockTime": bad.block_time,
        "confirmationStatus": "confirmed",
    }
    assert (entries[1]["signature"], entries[1]["memo"]) == (good.signature, "[1] a; [2] é")


async def test_history_knows_only_addresses_in_the_keys_never_owners(net, wire, street):
    street.pay(1)
    net.chain.tick(2)
    asked = {"commitment": "confirmed"}
    of_account = await wire("getSignaturesForAddress", str(street.to_account), asked)
    of_owner = await wire("getSignaturesForAddress", str(street.bob.pubkey()), asked)
    assert len(of_account) == 2  # the gift that opened it, and the payment
    assert of_account[0]["signature"] not in [entry["signature"] for entry in of_owner]


async def test_before_may_be_a_signature_of_another_address(net, wire, street):
    older = street.pay(1)
    stranger = net.chain.faucet.fund_lamports(wallet(80).pubkey(), 10**9)
    street.pay(2)
    net.chain.tick(2)
    asked = {"commitment": "confirmed", "before": stranger.signature}
    entries = await wire("getSignaturesForAddress", str(street.to_account), asked)
    assert entries[0]["signature"] == older.signature


async def test_statuses_forget_what_is_old_unless_history_is_searched(net, wire, street):
    signature = street.pay(1).signature
    status = (await wire("getSignatureStatuses", [signature, UNKNOWN]))["value"]
    assert status == [
        {
            "slot": 5,
            "confirmations": 0,
            "err": None,
            "status": {"Ok": None},
            "confirmationStatus": "processed",
        },
        None,
    ]
    net.chain.tick(150)
    (recent,) = (await wire("getSignatureStatuses", [signature]))["value"]
    assert (recent["confirmations"], recent["confirmationStatus"]) == (None, "finalized")
    net.chain.tick()
    assert (await wire("getSignatureStatuses", [signature]))["value"] == [None]
    searched = await wire("getSignatureStatuses", [signature], {"searchTransactionHistory": True})
    assert searched["value"] == [recent]


async def test_after_a_fork_a_confirmed_transaction_is_unknown_everywhere(net, wire, street):
    net.chain.tick(6)
    lost = street.pay(3 * USD)
    net.chain.tick(3)
    asked = {**V0, "commitment": "confirmed"}
    assert (await wire("getTransaction", lost.signature, asked))["slot"] == lost.slot
    report = await wire("localnet_fork", {"depth": 3, "drop": 1})
    assert report["dropped"] == [lost.signature]
    assert lost.slot in report["abandonedSlots"]
    net.chain.tick(6)
    assert await wire("getTransaction", lost.signature, asked) is None
    search = await wire("getSignatureStatuses", [lost.signature], {"searchTransactionHistory": True})
    assert search["value"] == [None]
    history = await wire("getSignaturesForAddress", str(street.to_account), {"commitment": "confirmed"})
    assert lost.signature not in [entry["signature"] for entry in history]
    assert (await refusal(wire("getBlock", lost.slot, V0))).code == -32007
    balance = await wire("getTokenAccountBalance", str(street.to_account))
    assert balance["value"]["amount"] == str(1000 * USD)


async def test_after_a_fork_a_transaction_lands_again_in_another_slot_with_the_same_signature(net, wire, street):
    net.chain.tick(6)
    paid = street.pay(3 * USD)
    net.chain.tick(3)
    report = await wire("localnet_fork", {"depth": 3, "reland": [paid.signature]})
    assert report["relanded"] == [paid.signature]
    net.chain.tick(6)
    again = await wire("getTransaction", paid.signature, V0)
    assert again["slot"] > paid.slot
    assert json.dumps(again["transaction"]) == json.dumps(paid.result()["transaction"])


async def test_too_deep_a_fork_is_refused(net, wire):
    net.chain.tick(10)
    error = await refusal(wire("localnet_fork", {"depth": 9}))
    assert (error.code, error.message) == (-32602, "Invalid param: only 4 slots are not finalized yet")
