"""What a node says of blocks, of what is sent to it, and of accounts at each commitment."""

import base64

from tests.localnet.conftest import encoded, refusal
from tests.support.wallets import USD, USDC, wallet

V0 = {"maxSupportedTransactionVersion": 0}


# --- blocks


async def test_blocks_that_are_missing_say_why(net, wire):
    net.chain.tick(8)
    view = net.chain.view()
    assert (await refusal(wire("getBlock", view.processed, {**V0, "commitment": "confirmed"}))).code == -32004
    assert (await refusal(wire("getBlock", view.confirmed, V0))).code == -32004
    error = await refusal(wire("getBlock", 3, V0))
    assert (error.code, error.message) == (
        -32007,
        "Slot 3 was skipped, or missing due to ledger jump to recent snapshot",
    )
    assert (await refusal(wire("getBlock", 10**9, V0))).message == "Block not available for slot 1000000000"
    net.chain.fork(1)
    net.chain.tick(2)
    skipped = net.chain.open.slot - 4
    assert net.chain.block(skipped) is None
    # no root has passed it yet, so nobody can say that it was skipped
    error = await refusal(wire("getBlock", skipped, {**V0, "commitment": "confirmed"}))
    assert (error.code, error.message) == (-32004, f"Block not available for slot {skipped}")


async def test_a_block_holds_what_get_transaction_answers(net, wire, street):
    paid = street.pay(1)
    net.chain.tick(6)
    for encoding in ("json", "base64", "jsonParsed"):
        asked = {**V0, "encoding": encoding}
        block = await wire("getBlock", paid.slot, asked)
        alone = await wire("getTransaction", paid.signature, asked)
        assert block["transactions"][-1] == {key: alone[key] for key in ("transaction", "meta", "version")}
    none = await wire("getBlock", paid.slot, {"transactionDetails": "none", "rewards": False})
    assert set(none) == {"blockHeight", "blockTime", "blockhash", "parentSlot", "previousBlockhash"}
    brief = await wire("getBlock", paid.slot, {**V0, "transactionDetails": "accounts"})
    assert brief["transactions"][-1]["transaction"]["signatures"] == [paid.signature]
    assert "innerInstructions" not in brief["transactions"][-1]["meta"]


async def test_blocks_are_listed_with_and_without_an_end(net, wire):
    net.chain.tick(10)
    confirmed = {"commitment": "confirmed"}
    assert await wire("getBlocks", 0, confirmed) == [0, 5, 6, 7, 8, 9, 10, 11, 12, 13]
    assert await wire("getBlocks", 4, 7) == [5, 6, 7]
    assert await wire("getBlocks", 9, None, confirmed) == [9, 10, 11, 12, 13]
    assert await wire("getBlocks", 7, 4) == []
    assert await wire("getBlocksWithLimit", 1, 3) == [5, 6, 7]
    assert (await refusal(wire("getBlocksWithLimit", 1, 500_001))).code == -32602


# --- sending


async def test_a_payment_sent_twice_is_refused_once_it_has_landed(net, wire, street):
    net.chain.tick(2)
    payment = street.payment(1 * USD, blockhash=net.chain.blocks[-2].hash)
    asked = {"encoding": "base64", "preflightCommitment": "confirmed"}
    signature = await wire("sendTransaction", encoded(payment), asked)
    assert signature == str(payment.signatures[0])
    error = await refusal(wire("sendTransaction", encoded(payment), asked))
    assert error.code == -32002
    assert error.message == "Transaction simulation failed: This transaction has already been processed"
    assert error.data["err"] == "AlreadyProcessed"
    # without preflight a node forwards it and knows no better
    again = await wire("sendTransaction", encoded(payment), {"encoding": "base64", "skipPreflight": True})
    assert again == signature
    assert net.chain.true_token_balance(street.to_account) == 1001 * USD


async def test_base58_is_the_default_encoding_of_what_is_sent(net, wire, street):
    net.chain.tick(5)
    payment = street.payment(1, blockhash=net.chain.blocks[1].hash)
    assert await wire("sendTransaction", encoded(payment, "base58")) == str(payment.signatures[0])


async def test_a_blockhash_newer_than_the_preflights_bank_is_not_found(net, wire, street):
    net.chain.tick(8)
    payment = street.payment(1, blockhash=net.chain.blocks[-1].hash)
    error = await refusal(wire("sendTransaction", encoded(payment), {"encoding": "base64"}))
    assert error.message == "Transaction simulation failed: Blockhash not found"
    assert error.data["err"] == "BlockhashNotFound"
    asked = {"encoding": "base64", "preflightCommitment": "processed"}
    assert await wire("sendTransaction", encoded(payment), asked)


async def test_a_forged_signature_is_refused(net, wire, street):
    net.chain.tick(2)
    data = bytearray(bytes(street.payment(1)))
    data[10] ^= 1
    error = await refusal(wire("sendTransaction", encoded(data), {"encoding": "base64"}))
    assert (error.code, error.message) == (-32003, "Transaction signature verification failure")


async def test_a_blockhash_dies_by_block_height(net, wire):
    latest = (await wire("getLatestBlockhash", {"commitment": "processed"}))["value"]
    assert latest["lastValidBlockHeight"] == 150
    asked = {"commitment": "processed"}
    net.chain.tick(149)
    assert await wire("getBlockHeight", asked) == 150
    assert (await wire("isBlockhashValid", latest["blockhash"], asked))["value"] is True
    net.chain.tick()
    assert (await wire("isBlockhashValid", latest["blockhash"], asked))["value"] is False


async def test_a_latest_blockhash_belongs_to_its_commitment(net, wire):
    net.chain.tick(9)
    for commitment in ("confirmed", "finalized"):
        answer = await wire("getLatestBlockhash", {"commitment": commitment})
        block = net.chain.block(net.chain.slot(commitment))
        assert answer["context"]["slot"] == block.slot
        assert answer["value"] == {
            "blockhash": str(block.hash),
            "lastValidBlockHeight": block.height + 150,
        }


# --- accounts


async def test_balances_are_answered_as_of_the_commitment(net, wire, street):
    net.chain.tick(8)
    street.pay(5 * USD)
    reported = {}
    for commitment in ("processed", "confirmed", "finalized"):
        answer = await wire("getTokenAccountBalance", str(street.to_account), {"commitment": commitment})
        assert answer["context"]["slot"] == net.chain.slot(commitment)
        reported[commitment] = int(answer["value"]["amount"])
    assert reported == {"processed": 1005 * USD, "confirmed": 1000 * USD, "finalized": 1000 * USD}
    net.chain.tick(2)
    answer = await wire("getTokenAccountBalance", str(street.to_account), {"commitment": "confirmed"})
    assert answer["value"]["amount"] == str(1005 * USD)


async def test_a_slice_of_data_is_cut_before_it_is_encoded(net, wire, street):
    net.chain.tick(6)
    asked = {"encoding": "base64", "dataSlice": {"offset": 64, "length": 8}}
    account = (await wire("getAccountInfo", str(street.to_account), asked))["value"]
    assert base64.b64decode(account["data"][0]) == (1000 * USD).to_bytes(8, "little")
    assert account["space"] == 165
    error = await refusal(wire("getAccountInfo", str(street.to_account)))
    assert error.code == -32600
    assert "please use Base64 encoding" in error.message
    assert (await wire("getAccountInfo", str(wallet(70).pubkey())))["value"] is None


async def test_tokens_are_given_over_the_wire(net, wire):
    owner = wallet(33).pubkey()
    account = await wire("localnet_fundToken", str(owner), str(USDC), 12)
    net.chain.tick(6)
    owned = await wire("getTokenAccountsByOwner", str(owner), {"mint": str(USDC)}, {"encoding": "jsonParsed"})
    assert [one["pubkey"] for one in owned["value"]] == [account]
    info = owned["value"][0]["account"]["data"]["parsed"]["info"]
    assert info == {
        "isNative": False,
        "mint": str(USDC),
        "owner": str(owner),
        "state": "initialized",
        "tokenAmount": {"amount": "12", "decimals": 6, "uiAmount": 0.000012, "uiAmountString": "0.000012"},
    }
    error = await refusal(wire("localnet_fundToken", str(owner), str(owner), 12))
    assert error.code == -32602


async def test_slots_can_be_ticked_over_the_wire(net, wire):
    assert await wire("localnet_tick") == 6
    assert await wire("localnet_tick", 4) == 10 == net.chain.open.slot
    assert (await refusal(wire("localnet_tick", 10_001))).code == -32602
