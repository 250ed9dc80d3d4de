"""Subscriptions on the wire: whom they match, what they refuse, when they end."""

import asyncio

import aiohttp
import pytest

from localnet import Localnet
from tests.localnet.conftest import CUT, RefusedError, feeding, until
from tests.support.lookup_tables import create_table
from tests.support.wallets import SPL, USD, USDC, WRAPPED_SOL, Town, close_account, signed, transfer

PROCESSED = {"commitment": "processed"}


def mentions(address):
    return {"mentions": [str(address)]}


async def test_mentions_takes_exactly_one_address(connect, street):
    socket = await connect()
    for addresses in ([], [str(USDC), str(SPL)]):
        with pytest.raises(RefusedError) as refusal:
            await socket.ask("logsSubscribe", {"mentions": addresses})
        assert refusal.value.code == -32602
        assert refusal.value.message == "Invalid Request: Only 1 address supported"
    assert await socket.ask("logsSubscribe", {"mentions": [str(USDC)]})


async def test_a_token_transfer_mentions_its_accounts_and_never_the_receiving_owner(connect, net, street):
    socket = await connect()
    account = await socket.ask("logsSubscribe", mentions(street.to_account), PROCESSED)
    await socket.ask("logsSubscribe", mentions(street.bob.pubkey()), PROCESSED)
    paid = street.pay(1)
    await socket.flush()
    (note,) = socket.notes
    assert note["subscription"] == account
    assert note["result"]["value"]["signature"] == paid.signature


async def test_mentions_matches_addresses_from_a_lookup_table(connect, net, street):
    table = create_table(net.chain, street.alice, [street.to_account])
    socket = await connect()
    await socket.ask("logsSubscribe", mentions(street.to_account), PROCESSED)
    instruction = transfer(street.from_account, street.to_account, street.alice.pubkey(), 9)
    paid = net.chain.send(signed([instruction], [street.alice], net.chain.blocks[-1].hash, tables=[table]))
    assert street.to_account not in paid.transaction.message.account_keys
    assert (await socket.next())["result"]["value"]["signature"] == paid.signature


async def test_a_failed_transaction_is_notified_with_its_error(connect, street):
    socket = await connect()
    await socket.ask("logsSubscribe", mentions(street.to_account), PROCESSED)
    failed = street.pay(5000 * USD)
    (value,) = await socket.values(1)
    assert value["signature"] == failed.signature
    assert value["err"] == {"InstructionError": [0, {"Custom": 1}]}


async def test_a_failed_signature_is_notified_with_its_error(connect, net, street):
    """On the wire, for solders 0.29 cannot read a custom error code in this one notification."""
    socket = await connect()
    failed = street.pay(5000 * USD)
    await socket.ask("signatureSubscribe", failed.signature, {"commitment": "confirmed"})
    net.chain.tick(2)
    assert await socket.values(1) == [{"err": {"InstructionError": [0, {"Custom": 1}]}}]


async def test_without_a_commitment_a_subscription_waits_for_finality(connect, net, street):
    net.chain.tick(7)
    socket = await connect()
    await socket.ask("logsSubscribe", mentions(street.to_account))
    street.pay(1)
    net.chain.tick(4)
    assert await socket.flush() == 0
    net.chain.tick()
    assert await socket.flush() == 1


async def test_a_transaction_may_be_null_when_its_notification_has_come(connect, net, street, wire):
    """At `processed` a node tells of what getTransaction cannot show yet."""
    socket = await connect()
    await socket.ask("logsSubscribe", mentions(street.to_account), PROCESSED)
    street.pay(1)
    (value,) = await socket.values(1)
    asked = {"maxSupportedTransactionVersion": 0, "commitment": "confirmed"}
    assert await wire("getTransaction", value["signature"], asked) is None
    net.chain.tick(2)
    assert (await wire("getTransaction", value["signature"], asked))["slot"] == 5


async def test_a_transaction_that_lands_again_is_notified_again(connect, net, street):
    socket = await connect()
    await socket.ask("logsSubscribe", mentions(street.to_account), {"commitment": "confirmed"})
    net.chain.tick(7)
    await socket.flush()
    socket.notes.clear()
    first = street.pay(1)
    net.chain.tick(2)
    net.chain.fork(2, drop=0.0)
    net.chain.tick(2)
    await socket.flush()
    reported = [(n["result"]["value"]["signature"], n["result"]["context"]["slot"]) for n in socket.notes]
    again = net.chain.find(first.signature)
    assert reported == [(first.signature, first.slot), (first.signature, again.slot)]
    assert again.slot > first.slot


async def test_a_closed_account_is_notified_as_empty(connect, net, street):
    newcomer = net.chain.faucet.fund_token(street.alice.pubkey(), WRAPPED_SOL, 1_000)
    socket = await connect()
    await socket.ask("accountSubscribe", str(newcomer), {**PROCESSED, "encoding": "base64"})
    closing = close_account(newcomer, street.alice.pubkey(), street.alice.pubkey())
    assert net.chain.send(signed([closing], [street.alice], net.chain.blocks[-1].hash)).err is None
    (value,) = await socket.values(1)
    assert (value["lamports"], value["data"]) == (0, ["", "base64"])


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("logsSubscribe", [], -32602),
        ("logsSubscribe", ["some"], -32602),
        ("logsSubscribe", [{"mentions": ["short"]}], -32602),
        ("accountSubscribe", [5], -32602),
        ("signatureSubscribe", ["short"], -32602),
        ("slotUnsubscribe", [999], -32602),
        ("getSlot", [], -32601),
        ("blockSubscribe", ["all"], -32601),
    ],
)
async def test_what_cannot_be_subscribed_is_refused(connect, method, params, code):
    socket = await connect()
    with pytest.raises(RefusedError) as refusal:
        await socket.ask(method, *params)
    assert refusal.value.code == code


async def test_one_connection_cannot_end_the_subscription_of_another(connect, net):
    first, second = await connect(), await connect()
    number = await first.ask("slotSubscribe")
    with pytest.raises(RefusedError):
        await second.ask("slotUnsubscribe", number)
    assert await first.ask("slotUnsubscribe", number) is True
    net.chain.tick()
    assert await first.flush() == 0


async def test_subscriptions_end_with_their_connection(connect, net, street):
    socket = await connect()
    await socket.ask("slotSubscribe")
    await socket.ask("logsSubscribe", "all")
    assert len(net.pubsub._topics) == 2
    await socket.socket.close()
    await until(lambda: not net.pubsub._topics)
    assert net.pubsub._of_socket == {}
    street.pay(1)


async def test_pings_are_answered(connect):
    socket = await connect()
    answered = await socket.socket.ping(b"are you there")
    assert await asyncio.wait_for(answered, 5) >= 0


async def test_a_slow_reader_is_disconnected():
    async with (
        Localnet.start(slot_seconds=None, max_waiting_messages=50) as net,
        feeding(net.ws_url) as connect,
    ):
        slow, attentive = await connect(), await connect()
        await slow.ask("slotSubscribe")
        net.chain.tick(51)
        assert await slow.ended() == CUT
        assert await attentive.flush() == 0


async def test_pubsub_answers_on_the_port_of_json_rpc_too(net):
    async with feeding(net.rpc_url) as connect:
        socket = await connect()
        await socket.ask("slotSubscribe")
        net.chain.tick()
        assert (await socket.next())["result"]["slot"] == 6


async def test_a_get_that_is_no_upgrade_is_asked_to_post(net):
    async with aiohttp.ClientSession() as session, session.get(net.rpc_url) as response:
        assert response.status == 405


async def test_json_rpc_answers_on_both_ports(net):
    async with aiohttp.ClientSession() as session:
        url = net.ws_url.replace("ws:", "http:")
        body = {"jsonrpc": "2.0", "id": 1, "method": "getHealth"}
        async with session.post(url, json=body) as response:
            assert (await response.json())["result"] == "ok"


async def test_finalized_notifications_of_blocks_that_a_root_jump_skips_never_come():
    async with (
        Localnet.start(slot_seconds=None, finalize_slots=2, root_stride=4) as net,
        feeding(net.ws_url) as connect,
    ):
        town = Town(net.chain)
        net.chain.tick(6)
        socket = await connect()
        await socket.ask("logsSubscribe", mentions(town.to_account))
        paid = {}
        for amount in range(1, 9):
            executed = town.pay(amount)
            paid[executed.signature] = executed.slot
            net.chain.tick()
        net.chain.tick(6)
        await socket.flush()
        reported = [note["result"]["value"]["signature"] for note in socket.notes]
        assert len(reported) == 2
        assert all(net.chain.view().level(slot) == "finalized" for slot in paid.values())
