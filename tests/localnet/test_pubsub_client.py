"""Solana-py's subscription client, which is not ours, is told what a node tells."""

import asyncio

import pytest
from solana.rpc.jsonrpc import SolanaJsonRpcError
from solana.rpc.websocket_api import SolanaWsClient
from solders.rpc.config import RpcTransactionLogsFilter, RpcTransactionLogsFilterMentions
from solders.rpc.responses import (
    AccountNotification,
    AccountNotificationJsonParsed,
    LogsNotification,
    RootNotification,
    SignatureNotification,
    SlotNotification,
)
from solders.signature import Signature

from localnet import Localnet
from tests.support.wallets import USD, Town


def mentions(address):
    return RpcTransactionLogsFilterMentions(address)


async def soon(awaitable):
    return await asyncio.wait_for(awaitable, 5)


async def test_logs_arrive_by_themselves_when_a_block_is_confirmed(live):
    town = Town(live.chain)
    async with SolanaWsClient(live.ws_url) as socket:
        mine = await socket.logs_subscribe(filter_=mentions(town.to_account), commitment="confirmed")
        paid = town.pay(1)
        reported = []
        while paid.signature not in reported:
            note = await soon(socket.recv())
            assert isinstance(note, LogsNotification)
            assert note.subscription == mine.subscription_id
            reported.append(str(note.result.value.signature))
        assert note.result.context.slot == paid.slot
        assert note.result.value.logs == paid.metadata.logs()
        assert live.chain.view().level(paid.slot) != "processed"


async def test_logs_come_at_the_commitment_asked_for(net, street):
    net.chain.tick(7)
    async with SolanaWsClient(net.ws_url) as socket:
        levels = {}
        for commitment in ("finalized", "confirmed", "processed"):
            subscription = await socket.logs_subscribe(filter_=mentions(street.to_account), commitment=commitment)
            levels[subscription.subscription_id] = commitment
        await socket.slot_subscribe()
        street.pay(1)
        net.chain.tick(6)
        notes = [await soon(socket.recv()) for _ in range(9)]
    reported = [levels.get(note.subscription, "tick") for note in notes]
    assert reported == ["processed", "tick", "confirmed", *["tick"] * 3, "finalized", *["tick"] * 2]


async def test_everything_is_logged_to_those_who_ask_for_all(net, street):
    async with SolanaWsClient(net.ws_url) as socket:
        await socket.logs_subscribe(filter_=RpcTransactionLogsFilter.All, commitment="processed")
        await socket.logs_subscribe(filter_=RpcTransactionLogsFilter.AllWithVotes, commitment="processed")
        paid = street.pay(1)
        for _ in range(2):
            assert str((await soon(socket.recv())).result.value.signature) == paid.signature


async def test_a_signature_is_notified_once_and_unsubscribed(net, street):
    async with SolanaWsClient(net.ws_url) as socket:
        paid = street.pay(1)
        await socket.signature_subscribe(signature=Signature.from_string(paid.signature), commitment="confirmed")
        await socket.slot_subscribe()
        net.chain.tick(2)
        notes = [await soon(socket.recv()) for _ in range(3)]
        assert [type(note) for note in notes] == [SlotNotification, SignatureNotification, SlotNotification]
        assert notes[1].result.value.err is None
        assert net.pubsub._topics.keys() == {("slot",)}


async def test_a_signature_that_is_confirmed_already_is_notified_at_once(net, street):
    paid = street.pay(1)
    net.chain.tick(2)
    async with SolanaWsClient(net.ws_url) as socket:
        await socket.signature_subscribe(signature=Signature.from_string(paid.signature), commitment="confirmed")
        note = await soon(socket.recv())
        assert isinstance(note, SignatureNotification)
        assert note.result.value.err is None


async def test_slots_and_roots_follow_the_chain(net):
    async with SolanaWsClient(net.ws_url) as socket:
        slots, roots = await socket.slot_subscribe(), await socket.root_subscribe()
        net.chain.tick(6)
        notes = [await soon(socket.recv()) for _ in range(8)]
    reported = [note.result for note in notes if isinstance(note, SlotNotification)]
    assert [(one.slot, one.parent) for one in reported] == [(slot, slot - 1) for slot in range(6, 12)]
    rooted = [note.result for note in notes if isinstance(note, RootNotification)]
    assert rooted == [5, 6]
    assert reported[-1].root == 6
    assert slots.subscription_id != roots.subscription_id


async def test_an_account_is_notified_when_it_changes_raw_and_parsed(net, street):
    net.chain.tick(7)
    async with SolanaWsClient(net.ws_url) as socket:
        raw = await socket.account_subscribe(pubkey=street.to_account, commitment="confirmed", encoding="base64")
        await socket.account_subscribe(pubkey=street.to_account, commitment="processed", encoding="jsonParsed")
        street.pay(5 * USD)
        parsed = await soon(socket.recv())
        assert isinstance(parsed, AccountNotificationJsonParsed)
        info = parsed.result.value.data.parsed["info"]
        assert info["tokenAmount"]["amount"] == str(1005 * USD)
        net.chain.tick(2)
        reported = await soon(socket.recv())
        assert isinstance(reported, AccountNotification)
        assert reported.subscription == raw.subscription_id
        assert int.from_bytes(reported.result.value.data[64:72], "little") == 1005 * USD


async def test_nothing_comes_after_unsubscribing(net, street):
    async with SolanaWsClient(net.ws_url) as socket:
        first = await socket.logs_subscribe(filter_=mentions(street.to_account), commitment="processed")
        second = await socket.logs_subscribe(filter_=mentions(street.to_account), commitment="processed")
        await socket.unsubscribe(first)
        street.pay(1)
        street.pay(2)
        notes = [await soon(socket.recv()) for _ in range(2)]
        assert {note.subscription for note in notes} == {second.subscription_id}


async def test_a_connection_can_be_limited_to_some_subscriptions():
    async with Localnet.start(slot_seconds=None, pubsub_limit=2) as net:
        async with SolanaWsClient(net.ws_url) as socket:
            first = await socket.slot_subscribe()
            await socket.root_subscribe()
            with pytest.raises(SolanaJsonRpcError) as refusal:
                await socket.slot_subscribe()
            assert refusal.value.code == -32603
            await socket.unsubscribe(first)
            await socket.slot_subscribe()
        async with SolanaWsClient(net.ws_url) as other:
            await other.slot_subscribe()
