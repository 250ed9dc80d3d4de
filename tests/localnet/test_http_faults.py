"""Each fault of the node's answers does what it says, as often as it says."""

import asyncio
from dataclasses import fields

import aiohttp
import msgspec
import pytest

from localnet import Localnet
from localnet.faults import Faults, Hazard
from tests.localnet.conftest import RefusedError, encoded
from tests.support.wallets import USD, USDC

V0 = {"maxSupportedTransactionVersion": 0, "commitment": "confirmed"}
HEALTH = {"jsonrpc": "2.0", "id": 1, "method": "getHealth"}
SLOT = {"jsonrpc": "2.0", "id": 1, "method": "getSlot"}


async def statuses(wire, *calls):
    found = []
    for call in calls:
        async with wire.session.post(wire.url, json=call) as response:
            found.append(response.status)
    return found


# --- setting them


def test_every_fault_is_off_at_first_and_is_named_in_camel_case():
    hazard = Hazard()
    assert all(fault["rate"] == 0 for fault in hazard.as_json().values())
    assert len(hazard.as_json()) == len(fields(Faults))
    assert "notificationsOutOfOrder" in hazard.as_json()


def test_faults_merge_until_they_are_reset():
    hazard = Hazard()
    hazard.set({"nullTransactions": 0.5})
    hazard.set({"notificationsLost": {"rate": 1, "count": 1}, "latencySeconds": 2})
    reported = hazard.as_json()
    assert reported["nullTransactions"]["rate"] == 0.5
    assert reported["notificationsLost"]["count"] == 1
    assert (reported["latencySeconds"]["rate"], reported["latencySeconds"]["amount"]) == (1, 2)
    hazard.set({"nullTransactions": 0})
    assert hazard.as_json()["nullTransactions"]["rate"] == 0
    assert hazard.as_json()["latencySeconds"]["amount"] == 2
    hazard.set({})
    assert hazard.as_json() == Hazard().as_json()


@pytest.mark.parametrize(
    "wrong",
    [
        {"noSuchFault": 1},
        {"timeouts": 1.5},
        {"timeouts": {"rate": -1}},
        {"timeouts": {"count": -1}},
        {"timeouts": {"often": 1}},
        {"timeouts": "often"},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_and_changes_nothing(wrong):
    hazard = Hazard()
    with pytest.raises(ValueError):
        hazard.set({"serverErrors": 1, **wrong})
    assert hazard.as_json() == Hazard().as_json()


def test_strikes_are_seeded():
    def run(seed):
        hazard = Hazard(seed)
        hazard.set({"timeouts": 0.3})
        return [hazard.strikes(hazard.faults.timeouts) for _ in range(200)]

    assert run(1) == run(1) != run(2)
    assert 40 < sum(run(1)) < 80


def test_a_fault_can_wait_strike_so_often_and_only_some_methods():
    hazard = Hazard()
    hazard.set({"timeouts": {"after": 2, "count": 3, "methods": ["getSlot"]}})
    fault = hazard.faults.timeouts
    assert not any(hazard.strikes(fault, "getBlock") for _ in range(5))
    assert [hazard.strikes(fault, "getSlot") for _ in range(7)] == [False] * 2 + [True] * 3 + [False] * 2


async def test_faults_are_set_and_read_over_the_wire_even_while_everything_fails(wire):
    await wire("localnet_setFaults", {"serverErrors": 1, "latencySeconds": 0.001})
    assert await statuses(wire, HEALTH) == [503]
    assert (await wire("localnet_getFaults"))["serverErrors"]["rate"] == 1
    with pytest.raises(RefusedError) as refusal:
        await wire("localnet_setFaults", {"bogus": 1})
    assert refusal.value.code == -32602
    await wire("localnet_setFaults", None)
    assert await wire("getHealth") == "ok"


# --- HTTP


async def test_429_comes_with_retry_after_and_executes_nothing(net, wire, street):
    net.chain.tick(2)
    send = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "sendTransaction",
        "params": [encoded(street.payment(1)), {"encoding": "base64", "skipPreflight": True}],
    }
    net.set_faults({"tooManyRequests": {"count": 1, "amount": 7}})
    async with wire.session.post(wire.url, json=send) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "7")
    assert net.chain.true_token_balance(street.to_account) == 1000 * USD
    assert await statuses(wire, send) == [200]
    assert net.chain.true_token_balance(street.to_account) == 1000 * USD + 1


async def test_server_errors_have_the_status_asked_for_and_hit_the_methods_named(net, wire):
    net.set_faults({"serverErrors": {"amount": 502, "methods": ["getSlot"]}})
    assert await statuses(wire, HEALTH, SLOT, HEALTH, [HEALTH, SLOT]) == [200, 502, 200, 502]


async def test_a_json_rpc_error_can_be_ordered_by_its_code(net, wire):
    net.set_faults({"rpcErrors": {"count": 1, "amount": 32011, "methods": ["getTransaction"]}})
    assert await wire("getHealth") == "ok"
    with pytest.raises(RefusedError) as refusal:
        await wire("getTransaction", "1" * 64, V0)
    assert refusal.value.code == -32011
    assert refusal.value.message == "Transaction history is not available from this node"
    assert await wire("getTransaction", "1" * 64, V0) is None
    net.set_faults({"rpcErrors": 1})
    with pytest.raises(RefusedError) as refusal:
        await wire("getSlot")
    assert refusal.value.code == -32005
    assert (await wire("localnet_setFaults", {}))["rpcErrors"]["rate"] == 0


async def test_a_time_out_executes_and_never_answers(net, wire, street):
    net.chain.tick(2)
    net.set_faults({"timeouts": {"count": 1}})
    asked = {"encoding": "base64", "skipPreflight": True}
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire("sendTransaction", encoded(street.payment(1)), asked), 0.05)
    assert net.chain.true_token_balance(street.to_account) == 1000 * USD + 1
    assert await wire("getHealth") == "ok"


async def test_a_late_answer_comes_in_the_end(net, wire):
    net.set_faults({"timeouts": {"amount": 0.05}})
    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert await wire("getHealth") == "ok"
    assert loop.time() - begun > 0.04  # the clocks of event loops are coarse


async def test_latency_is_added_to_each_answer(net, wire):
    net.set_faults({"latencySeconds": 0.03})
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for _ in range(2):
        await wire("getHealth")
    assert loop.time() - begun > 0.05


async def test_a_malformed_answer_is_cut_in_the_middle(net, wire):
    net.set_faults({"malformedAnswers": {"count": 1}})
    async with wire.session.post(wire.url, json=HEALTH) as response:
        body = await response.read()
        assert response.status == 200
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(body)
    assert await wire("getHealth") == "ok"


async def test_batches_can_be_rejected_by_fault_and_by_setting(net, wire):
    assert await statuses(wire, [HEALTH]) == [200]
    net.set_faults({"batchesRejected": 1})
    assert await statuses(wire, [HEALTH], HEALTH) == [400, 200]
    async with (
        Localnet.start(slot_seconds=None, accept_batches=False) as strict,
        aiohttp.ClientSession() as session,
        session.post(strict.rpc_url, json=[HEALTH]) as response,
    ):
        assert response.status == 400


async def test_transactions_can_be_null_exactly_so_often(net, wire, street):
    signature = street.pay(1).signature
    net.chain.tick(2)
    net.set_faults({"nullTransactions": {"count": 2}})
    found = [await wire("getTransaction", signature, V0) is None for _ in range(3)]
    assert found == [True, True, False]


async def test_pages_can_be_truncated_or_empty_though_history_goes_on(net, wire, street):
    for amount in range(1, 10):
        street.pay(amount)
    net.chain.tick(2)

    async def page(**more):
        asked = {"commitment": "confirmed", "limit": 8, **more}
        return await wire("getSignaturesForAddress", str(street.to_account), asked)

    whole = await page()
    net.set_faults({"truncatedPages": {"count": 1}, "emptyPages": {"count": 1, "after": 1}})
    assert await page() == whole[:4]
    assert await page() == []
    assert await page() == whole
    assert len(await page(before=whole[-1]["signature"])) == 2


async def test_a_sent_transaction_can_be_lost(net, wire, street):
    net.chain.tick(2)
    net.set_faults({"transactionsLost": {"count": 1}})
    payment = street.payment(1, blockhash=net.chain.blocks[-2].hash)
    asked = {"encoding": "base64", "preflightCommitment": "confirmed"}
    signature = await wire("sendTransaction", encoded(payment), asked)
    assert net.chain.find(signature) is None
    assert await wire("sendTransaction", encoded(payment), asked) == signature
    assert net.chain.find(signature) is not None


# --- what the node knows


async def test_a_node_behind_answers_as_of_then(net, wire, street):
    net.chain.tick(20)
    street.pay(1 * USD)
    net.chain.tick(3)
    asked = {"commitment": "confirmed"}
    paid = await wire("getTokenAccountBalance", str(street.to_account), asked)
    slots = [await wire("getSlot", {"commitment": level}) for level in ("processed", "confirmed", "finalized")]
    net.set_faults({"nodeBehindSlots": 10})
    behind = [await wire("getSlot", {"commitment": level}) for level in ("processed", "confirmed", "finalized")]
    assert [now - then for now, then in zip(slots, behind, strict=True)] == [10, 10, 10]
    stale = await wire("getTokenAccountBalance", str(street.to_account), asked)
    assert (paid["value"]["amount"], stale["value"]["amount"]) == (str(1001 * USD), str(1000 * USD))
    assert stale["context"]["slot"] == behind[1]
    assert len(await wire("getSignaturesForAddress", str(street.to_account), asked)) == 1
    with pytest.raises(RefusedError) as refusal:
        await wire("getSlot", {"commitment": "confirmed", "minContextSlot": slots[1]})
    assert (refusal.value.code, refusal.value.data) == (-32016, {"contextSlot": behind[1]})
    assert await wire("getHealth") == "ok"


async def test_a_node_far_behind_calls_itself_unhealthy(net, wire):
    net.chain.tick(200)
    net.set_faults({"nodeBehindSlots": 140})
    with pytest.raises(RefusedError) as refusal:
        await wire("getHealth")
    assert (refusal.value.code, refusal.value.message) == (-32005, "Node is behind by 140 slots")
    assert refusal.value.data == {"numSlotsBehind": 140}


async def test_a_node_lags_150_slots_at_most_for_no_older_state_is_kept(net, wire):
    net.chain.tick(400)
    net.set_faults({"nodeBehindSlots": 300})
    assert await wire("getSlot", {"commitment": "processed"}) == net.chain.open.slot - 150


async def test_the_first_available_block_is_a_block_and_no_skipped_slot(net, wire):
    net.chain.tick(3)
    net.set_faults({"prunedSlots": 5})
    assert net.chain.block(net.chain.open.slot - 5) is None
    assert await wire("getFirstAvailableBlock") == 5


async def test_a_pruned_node_has_forgotten_what_is_older(net, wire, street):
    old = street.pay(1)
    net.chain.tick(20)
    new = street.pay(2)
    net.chain.tick(6)
    net.set_faults({"prunedSlots": 10})
    first = net.chain.open.slot - 10
    assert await wire("getFirstAvailableBlock") == first
    assert await wire("minimumLedgerSlot") == first
    assert await wire("getTransaction", old.signature, V0) is None
    assert (await wire("getTransaction", new.signature, V0))["slot"] == new.slot
    asked = {"commitment": "confirmed"}
    history = await wire("getSignaturesForAddress", str(street.to_account), asked)
    assert [entry["signature"] for entry in history] == [new.signature]
    for method in ("getBlock", "getBlockTime"):
        with pytest.raises(RefusedError) as refusal:
            await wire(method, old.slot)
        assert refusal.value.code == -32001
        assert refusal.value.message.endswith(f"First available block: {first}")
    assert await wire("getBlocks", 0, first + 1) == [first, first + 1]
    search = await wire("getSignatureStatuses", [old.signature], {"searchTransactionHistory": True})
    assert search["value"] == [None]
    supply = await wire("getTokenSupply", str(USDC))  # state is not history
    assert supply["value"]["amount"] == str(2000 * USD)
