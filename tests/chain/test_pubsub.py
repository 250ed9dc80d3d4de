"""LogsFeed: every followed account is watched, whatever sockets and nodes do, and whoever listens knows since when."""

import asyncio
import socket
import time

import pytest
from solders.keypair import Keypair

from chain import pubsub
from chain.backoff import Backoff
from chain.pubsub import FeedLimits
from localnet import Localnet
from tests.chain.feed_listener import QUICK, feeding, names
from tests.support.scripted_nodes import PubSubNode, gossiping, until
from tests.support.wallets import USD, USDC, Town


@pytest.fixture
async def town(net):
    """Alice and Bob, whose first money has been confirmed: nobody will be told of it any more."""
    built = Town(net.chain)
    funded = net.chain.open.slot
    await until(lambda: net.chain.slot("confirmed") > funded)
    return built


def watched_by(net):
    """The accounts that the localnet watches, once for each subscription, and how many on each connection."""
    connections = [
        [str(subscription.topic[1]) for subscription in of_socket.values() if subscription.kind == "logs"]
        for of_socket in net.pubsub._of_socket.values()
    ]
    return sorted(account for accounts in connections for account in accounts), sorted(map(len, connections))


# --- on the localnet


async def test_an_account_is_announced_as_watched_and_then_its_transactions(net, town):
    account = str(town.to_account)
    async with feeding(net.ws_url, [account]) as (feed, listener):
        await until(lambda: listener.begun)
        landed = town.pay(5 * USD)
        failed = town.pay(10**9 * USD)
        await until(lambda: len(listener.notes) == 2)
        assert [(reported, signature, failed) for reported, signature, _, failed in listener.notes] == [
            (account, landed.signature, False),
            (account, failed.signature, True),
        ]
        assert [slot for *_, slot, _ in listener.notes] == [landed.slot, failed.slot]
        assert (feed.watching, feed.sockets) == (1, 1)
        assert feed.slot >= landed.slot
    assert listener.begun == [(account, listener.begun[0][1])]
    assert listener.begun[0][1] > 0
    assert listener.ended == []


async def test_each_subscription_names_one_address_and_following_twice_changes_nothing(net):
    accounts = names(7)
    async with feeding(net.ws_url, accounts + accounts) as (feed, listener):
        await until(lambda: feed.watching == 7)
        feed.follow(accounts[0])
        await until(lambda: len(listener.begun) == 7)
        assert watched_by(net) == (sorted(accounts), [7])
    assert set(listener.times().values()) == {1}


async def test_accounts_are_spread_over_as_many_sockets_as_the_limit_needs(net):
    accounts = names(23)
    limits = FeedLimits(accounts_per_socket=5)
    async with feeding(net.ws_url, accounts, limits) as (feed, listener):
        await until(lambda: feed.watching == 23 and len(listener.begun) == 23)
        assert feed.sockets == 5
        assert watched_by(net) == (sorted(accounts), [3, 5, 5, 5, 5])


async def test_a_provider_that_allows_less_than_configured_is_given_more_sockets():
    accounts = names(20)
    async with (
        Localnet.start(port=0, slot_seconds=0.05, finalize_slots=8, pubsub_limit=3) as net,
        feeding(net.ws_url, accounts) as (feed, listener),
    ):
        await until(lambda: feed.watching == 20 and len(listener.begun) == 20)
        # One of three subscriptions is the socket's heartbeat.
        assert watched_by(net) == (sorted(accounts), [2] * 10)
        assert set(listener.times().values()) == {1}
        late = names(1)
        feed.follow(*late)
        await until(lambda: feed.watching == 21)
        assert watched_by(net)[0] == sorted(accounts + late)
        assert listener.ended == []


async def test_accounts_come_and_go_while_it_runs(net, town):
    account, other = str(town.to_account), str(town.from_account)
    async with feeding(net.ws_url, [account]) as (feed, listener):
        await until(lambda: listener.begun)
        feed.follow(other)
        await until(lambda: feed.watching == 2)
        feed.unfollow(account)
        await until(lambda: watched_by(net) == ([other], [1]))
        unheard = town.pay(USD).signature
        await until(lambda: unheard in listener.heard(other))
        assert listener.heard(account) == []
        feed.follow(account)
        await until(lambda: listener.times()[account] == 2)
        heard = town.pay(2 * USD).signature
        await until(lambda: heard in listener.heard(account) and heard in listener.heard(other))
        assert listener.heard(account) == [heard]
        feed.unfollow("nobody")
        assert feed.watching == 2


@pytest.mark.parametrize("fault", ["socketsSilent", "socketsDeaf"])
async def test_a_socket_that_falls_silent_is_replaced_and_every_account_announced_again(net, town, fault):
    accounts = [str(town.to_account), str(town.from_account), *names(3)]
    async with feeding(net.ws_url, accounts, QUICK) as (feed, listener):
        await until(lambda: len(listener.begun) == 5)
        net.set_faults({fault: {"rate": 1, "count": 1, "methods": ["slotNotification"]}})
        await until(lambda: listener.ended and feed.watching == 5 and min(listener.times().values()) >= 2)
        assert listener.ended[0] == ("127.0.0.1", "it has been silent for 0.4 s")
        heard = town.pay(USD).signature
        await until(lambda: heard in listener.heard(accounts[0]) and heard in listener.heard(accounts[1]))
        assert feed.watching == 5


async def test_closed_sockets_are_replaced_and_every_account_announced_again(net, town):
    accounts = [str(town.to_account), *names(5)]
    async with feeding(net.ws_url, accounts, FeedLimits(accounts_per_socket=2)) as (feed, listener):
        await until(lambda: len(listener.begun) == 6)
        for times in (2, 3):
            assert net.pubsub.cut_all() == 3
            await until(lambda: set(listener.times().values()) == {times})  # noqa: B023
        assert len(listener.ended) == 6
        heard = town.pay(USD).signature
        await until(lambda: heard in listener.heard(accounts[0]))
        assert feed.watching == 6
        net.set_faults({"socketsClosed": {"rate": 1, "count": 1}})
        town.pay(2 * USD)
        await until(lambda: listener.times()[accounts[0]] == 4)


async def test_notifications_pass_through_doubled_late_and_out_of_order(net, town):
    account = str(town.to_account)
    async with feeding(net.ws_url, [account]) as (_, listener):
        await until(lambda: listener.begun)
        net.set_faults({"notificationsDoubled": {"rate": 1, "count": 1}})
        doubled = town.pay(USD).signature
        await until(lambda: listener.heard(account) == [doubled] * 2)
        net.set_faults({"notificationsLate": {"amount": 0.3, "count": 1}})
        late = town.pay(2 * USD).signature
        await until(lambda: not net.faults.notifications_late.count)
        soon = town.pay(3 * USD).signature
        await until(lambda: listener.heard(account)[2:] == [soon, late])
        net.set_faults({"notificationsOutOfOrder": {"rate": 1, "count": 1}})
        held, next_one = town.pay(4 * USD).signature, town.pay(5 * USD).signature
        await until(lambda: listener.heard(account)[4:] == [next_one, held])
        slots = {signature: slot for _, signature, slot, _ in listener.notes}
        assert slots[late] <= slots[soon]


async def test_two_thousand_accounts_are_followed_in_a_few_seconds(net):
    accounts = [str(Keypair.from_seed(n.to_bytes(32, "little")).pubkey()) for n in range(2_000)]
    started = time.monotonic()
    async with feeding(net.ws_url, accounts) as (feed, listener):
        await until(lambda: len(listener.begun) == 2_000, seconds=20)
        assert time.monotonic() - started < 10
        assert (feed.watching, feed.sockets) == (2_000, 4)
        assert watched_by(net) == (sorted(accounts), [500] * 4)
        assert set(listener.times().values()) == {1}
        assert all(slot > 0 for _, slot in listener.begun)


async def test_nothing_is_left_when_it_closes(net):
    before = asyncio.all_tasks()
    async with feeding(net.ws_url, names(12), FeedLimits(accounts_per_socket=3)) as (feed, listener):
        await until(lambda: len(listener.begun) == 12)
        feed.follow(names(1)[0])  # a socket that has hardly begun
    await until(lambda: not net.pubsub._of_socket)
    await until(lambda: asyncio.all_tasks() <= before)


# --- endpoints that are no nodes


async def test_endpoints_take_turns_until_one_serves(monkeypatch):
    monkeypatch.setattr(pubsub, "_BACKOFF", Backoff(0.01, 0.01))
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections, and never says a word
        async with gossiping(PubSubNode(status=404)) as refusing, gossiping(PubSubNode()) as node:
            urls = ["ws://127.0.0.1:1", f"ws://127.0.0.1:{deaf.getsockname()[1]}", refusing.url, node.url]
            async with feeding(urls, names(1), QUICK) as (feed, listener):
                await until(lambda: listener.begun)
                assert feed.watching == 1
                assert [reason for _, reason in listener.ended][1:] == [
                    "timed out during opening handshake",
                    "HTTP 404",
                ]


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_nothing_that_is_said_of_an_endpoint_carries_its_key(monkeypatch, status):
    monkeypatch.setattr(pubsub, "_BACKOFF", Backoff(0.01, 0.01))
    async with gossiping(PubSubNode(status=status)) as node:
        keyed = node.url.replace("//", "//user:SECRET@") + "/SECRET?api-key=SECRET"
        urls = [keyed, "ws://127.0.0.1:1/SECRET", "ws:///SECRET", "ws://[SECRET", "SECRET"]
        async with feeding(urls, names(1), QUICK) as (_, listener):
            await until(lambda: len(listener.ended) >= 5)
    assert "SECRET" not in repr(listener.ended)
    assert ("127.0.0.1", f"HTTP {status}") in listener.ended
    assert {endpoint for endpoint, _ in listener.ended} == {"127.0.0.1", "unknown"}


async def test_an_endpoint_that_never_serves_is_not_hammered():
    node = PubSubNode()

    async def shut(connection):
        await connection.socket.close()

    node.greeting = shut
    async with gossiping(node), feeding(node.url, names(1)):
        started = time.monotonic()
        await until(lambda: len(node.connections) == 4)
        # The pauses double: 0.1, 0.2 and 0.4 s, each shortened by a third at most.
        assert time.monotonic() - started > 0.35


async def test_a_feed_outlives_thousands_of_failures(monkeypatch):
    monkeypatch.setattr(pubsub, "_BACKOFF", Backoff(0.05, 0.0))
    async with feeding("ws://127.0.0.1:1", names(1)) as (_, listener):
        await until(lambda: len(listener.ended) > 1_100, seconds=30)


async def test_a_listener_that_fails_costs_a_socket_and_not_the_feed():
    accounts, node = names(2), PubSubNode()
    async with gossiping(node), feeding(node.url, accounts) as (_, listener):
        await until(lambda: len(listener.begun) == 2)
        real, listener.notified = listener.notified, None
        (connection,) = node.connections
        await node.notify(connection, next(iter(connection.watched)), "sig", 500)
        await until(lambda: len(listener.begun) == 4)
        assert "not callable" in listener.ended[0][1]
        listener.notified = real
        connection = node.connections[-1]
        await node.notify(connection, next(iter(connection.watched)), "again", 501)
        await until(lambda: [signature for _, signature, *_ in listener.notes] == ["again"])


async def test_the_wallet_is_not_notified_of_a_transfer_to_its_token_account(net, town):
    """`mentions` looks at a transaction's keys, not at who owns what: every token account must be followed."""
    wallet, account = str(town.bob.pubkey()), str(town.account(town.bob, USDC))
    async with feeding(net.ws_url, [wallet, account]) as (_, listener):
        await until(lambda: len(listener.begun) == 2)
        heard = town.pay(USD).signature
        await until(lambda: listener.heard(account) == [heard])
        assert listener.heard(wallet) == []
