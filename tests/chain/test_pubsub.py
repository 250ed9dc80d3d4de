"""LogsFeed: every followed account is watched, whatever sockets and nodes do, and whoever listens knows since when."""

import asyncio
import random
import socket
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from solders.keypair import Keypair

from pay402.chain import pubsub
from pay402.chain.pubsub import FeedLimits, LogsFeed
from pay402.localnet import Localnet
from tests.chain.nodes import PubSubNode, gossiping, until
from tests.localnet.wallets import USD, USDC, Town

QUICK = FeedLimits(silence_seconds=0.4, connect_seconds=0.5)
PATIENT = FeedLimits(silence_seconds=15.0, connect_seconds=5.0)


@dataclass
class Ear:
    """A listener that remembers, in order."""

    notes: list[tuple] = field(default_factory=list)
    begun: list[tuple[str, int]] = field(default_factory=list)
    ended: list[tuple[str, str]] = field(default_factory=list)

    def notified(self, account, signature, slot, *, failed):
        self.notes.append((account, signature, slot, failed))

    def subscribed(self, account, slot):
        self.begun.append((account, slot))

    def disconnected(self, endpoint, reason):
        self.ended.append((endpoint, reason))

    def times(self):
        """How often each account was told to be watched."""
        return Counter(account for account, _ in self.begun)

    def heard(self, account):
        return [signature for told, signature, *_ in self.notes if told == account]


@asynccontextmanager
async def feeding(urls, accounts=(), limits=PATIENT):
    """A feed of `accounts`, with what it told."""
    ear = Ear()
    async with LogsFeed([urls] if isinstance(urls, str) else urls, ear, limits) as feed:
        for account in accounts:
            feed.follow(account)
        yield feed, ear


def names(count):
    return [str(Keypair().pubkey()) for _ in range(count)]


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


async def test_an_account_is_told_to_be_watched_and_then_its_transactions(net, town):
    account = str(town.to_account)
    async with feeding(net.ws_url, [account]) as (feed, ear):
        await until(lambda: ear.begun)
        landed = town.pay(5 * USD)
        failed = town.pay(10**9 * USD)
        await until(lambda: len(ear.notes) == 2)
        assert [(told, signature, failed) for told, signature, _, failed in ear.notes] == [
            (account, landed.signature, False),
            (account, failed.signature, True),
        ]
        assert [slot for *_, slot, _ in ear.notes] == [landed.slot, failed.slot]
        assert (feed.watching, feed.sockets) == (1, 1)
        assert feed.slot >= landed.slot
    assert ear.begun == [(account, ear.begun[0][1])]
    assert ear.begun[0][1] > 0
    assert ear.ended == []


async def test_each_subscription_names_one_address_and_following_twice_changes_nothing(net):
    accounts = names(7)
    async with feeding(net.ws_url, accounts + accounts) as (feed, ear):
        await until(lambda: feed.watching == 7)
        feed.follow(accounts[0])
        await until(lambda: len(ear.begun) == 7)
        assert watched_by(net) == (sorted(accounts), [7])
    assert set(ear.times().values()) == {1}


async def test_accounts_are_spread_over_as_many_sockets_as_the_limit_needs(net):
    accounts = names(23)
    limits = FeedLimits(accounts_per_socket=5)
    async with feeding(net.ws_url, accounts, limits) as (feed, ear):
        await until(lambda: feed.watching == 23 and len(ear.begun) == 23)
        assert feed.sockets == 5
        assert watched_by(net) == (sorted(accounts), [3, 5, 5, 5, 5])


async def test_a_provider_that_allows_less_than_configured_is_given_more_sockets():
    accounts = names(20)
    async with (
        Localnet.start(port=0, slot_seconds=0.05, finalize_slots=8, pubsub_limit=3) as net,
        feeding(net.ws_url, accounts) as (feed, ear),
    ):
        await until(lambda: feed.watching == 20 and len(ear.begun) == 20)
        # One of three subscriptions is the socket's heartbeat.
        assert watched_by(net) == (sorted(accounts), [2] * 10)
        assert set(ear.times().values()) == {1}
        late = names(1)
        feed.follow(*late)
        await until(lambda: feed.watching == 21)
        assert watched_by(net)[0] == sorted(accounts + late)
        assert ear.ended == []


async def test_accounts_come_and_go_while_it_runs(net, town):
    account, other = str(town.to_account), str(town.from_account)
    async with feeding(net.ws_url, [account]) as (feed, ear):
        await until(lambda: ear.begun)
        feed.follow(other)
        await until(lambda: feed.watching == 2)
        feed.unfollow(account)
        await until(lambda: watched_by(net) == ([other], [1]))
        unheard = town.pay(USD).signature
        await until(lambda: unheard in ear.heard(other))
        assert ear.heard(account) == []
        feed.follow(account)
        await until(lambda: ear.times()[account] == 2)
        heard = town.pay(2 * USD).signature
        await until(lambda: heard in ear.heard(account) and heard in ear.heard(other))
        assert ear.heard(account) == [heard]
        feed.unfollow("nobody")
        assert feed.watching == 2


@pytest.mark.parametrize("fault", ["socketsSilent", "socketsDeaf"])
async def test_a_socket_that_falls_silent_is_replaced_and_every_account_told_again(net, town, fault):
    accounts = [str(town.to_account), str(town.from_account), *names(3)]
    async with feeding(net.ws_url, accounts, QUICK) as (feed, ear):
        await until(lambda: len(ear.begun) == 5)
        net.set_faults({fault: {"rate": 1, "count": 1, "methods": ["slotNotification"]}})
        await until(lambda: ear.ended and feed.watching == 5 and min(ear.times().values()) >= 2)
        assert ear.ended[0] == ("127.0.0.1", "it has been silent for 0.4 s")
        heard = town.pay(USD).signature
        await until(lambda: heard in ear.heard(accounts[0]) and heard in ear.heard(accounts[1]))
        assert feed.watching == 5


async def test_closed_sockets_are_replaced_and_every_account_told_again(net, town):
    accounts = [str(town.to_account), *names(5)]
    async with feeding(net.ws_url, accounts, FeedLimits(accounts_per_socket=2)) as (feed, ear):
        await until(lambda: len(ear.begun) == 6)
        for times in (2, 3):
            assert net.pubsub.cut_all() == 3
            await until(lambda: set(ear.times().values()) == {times})  # noqa: B023
        assert len(ear.ended) == 6
        heard = town.pay(USD).signature
        await until(lambda: heard in ear.heard(accounts[0]))
        assert feed.watching == 6
        net.set_faults({"socketsClosed": {"rate": 1, "count": 1}})
        town.pay(2 * USD)
        await until(lambda: ear.times()[accounts[0]] == 4)


async def test_notifications_pass_through_doubled_late_and_out_of_order(net, town):
    account = str(town.to_account)
    async with feeding(net.ws_url, [account]) as (_, ear):
        await until(lambda: ear.begun)
        net.set_faults({"notificationsDoubled": {"rate": 1, "count": 1}})
        doubled = town.pay(USD).signature
        await until(lambda: ear.heard(account) == [doubled] * 2)
        net.set_faults({"notificationsLate": {"amount": 0.3, "count": 1}})
        late = town.pay(2 * USD).signature
        await until(lambda: not net.faults.notifications_late.count)
        soon = town.pay(3 * USD).signature
        await until(lambda: ear.heard(account)[2:] == [soon, late])
        net.set_faults({"notificationsOutOfOrder": {"rate": 1, "count": 1}})
        held, next_one = town.pay(4 * USD).signature, town.pay(5 * USD).signature
        await until(lambda: ear.heard(account)[4:] == [next_one, held])
        slots = {signature: slot for _, signature, slot, _ in ear.notes}
        assert slots[late] <= slots[soon]


async def test_two_thousand_accounts_are_followed_in_a_few_seconds(net):
    accounts = [str(Keypair.from_seed(n.to_bytes(32, "little")).pubkey()) for n in range(2_000)]
    started = time.monotonic()
    async with feeding(net.ws_url, accounts) as (feed, ear):
        await until(lambda: len(ear.begun) == 2_000, seconds=20)
        assert time.monotonic() - started < 10
        assert (feed.watching, feed.sockets) == (2_000, 4)
        assert watched_by(net) == (sorted(accounts), [500] * 4)
        assert set(ear.times().values()) == {1}
        assert all(slot > 0 for _, slot in ear.begun)


async def test_nothing_is_left_when_it_closes(net):
    before = asyncio.all_tasks()
    async with feeding(net.ws_url, names(12), FeedLimits(accounts_per_socket=3)) as (feed, ear):
        await until(lambda: len(ear.begun) == 12)
        feed.follow(names(1)[0])  # a socket that has hardly begun
    assert feed._session.closed
    await until(lambda: not net.pubsub._of_socket)
    await until(lambda: asyncio.all_tasks() <= before)


# --- nodes with whims


async def test_a_node_without_slots_is_watched_by_pings_and_tells_no_slot():
    accounts, limits = names(3), FeedLimits(silence_seconds=0.8)
    async with gossiping(PubSubNode(refuses_slots=True)) as node, feeding(node.url, accounts, limits) as (feed, ear):
        await until(lambda: len(ear.begun) == 3)
        assert {slot for _, slot in ear.begun} == {0}
        (connection,) = node.connections
        # Quiet for much longer than the limit on silence, and still the first socket.
        await asyncio.sleep(2.5 * limits.silence_seconds)
        assert (len(node.connections), ear.ended, feed.watching) == (1, [], 3)
        subscription = next(at for at, account in connection.watched.items() if account == accounts[0])
        await node.notify(connection, subscription, "sig", 777)
        await until(lambda: ear.notes)
        assert (ear.notes, feed.slot) == ([(accounts[0], "sig", 777, False)], 777)


@pytest.mark.parametrize("refuses_slots", [False, True])
async def test_a_node_that_never_answers_one_subscription_is_left(refuses_slots):
    accounts = names(4)
    node = PubSubNode(refuses_slots=refuses_slots, ignored={accounts[2]})
    async with gossiping(node), feeding(node.url, accounts, QUICK) as (feed, ear):
        await until(lambda: len(ear.begun) == 3)
        assert feed.watching == 3
        await until(lambda: ear.ended)
        assert ear.ended[0] == ("127.0.0.1", "it has not answered a subscription for 0.4 s")
        node.ignored.clear()
        await until(lambda: ear.times()[accounts[2]] == 1 and feed.watching == 4)
        assert node.watched == sorted(accounts)


async def test_answers_to_others_do_not_hide_a_subscription_that_is_never_answered():
    silent, *others = names(200)
    node = PubSubNode(ignored={silent})
    async with gossiping(node), feeding(node.url, [silent], QUICK) as (feed, ear):
        while not ear.ended:
            feed.follow(others.pop())
            await asyncio.sleep(0.02)
        assert ear.ended[0][1].startswith("it has not answered a subscription")


GARBAGE = {
    "no json": lambda socket: socket.send_str("hello"),
    "cut short": lambda socket: socket.send_str('{"jsonrpc":"2.0","method":"logsNot'),
    "list": lambda socket: socket.send_json([]),
    "other types": lambda socket: socket.send_json({"params": {"result": 5, "subscription": "x"}}),
    "not utf-8": lambda socket: socket.send_bytes(b'{"method":"\xff\xfe"}'),
    "bytes": lambda socket: socket.send_bytes(b"\x00\x01"),
}


async def test_accounts_are_subscribed_one_by_one_at_confirmed():
    """At `finalized` a node never tells of the slots that a root jumps over."""
    accounts, node = names(3), PubSubNode()
    async with gossiping(node), feeding(node.url, accounts) as (_, ear):
        await until(lambda: len(ear.begun) == 3)
        asked = [one["params"] for one in node.connections[0].asked if one["method"] == "logsSubscribe"]
    assert {watch["mentions"][0] for watch, _ in asked} == set(accounts)
    assert all(len(watch["mentions"]) == 1 and how == {"commitment": "confirmed"} for watch, how in asked)


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_costs_the_socket_and_nothing_else(garbage):
    accounts, node = names(3), PubSubNode()
    async with gossiping(node), feeding(node.url, accounts) as (feed, ear):
        await until(lambda: len(ear.begun) == 3)
        await garbage(node.connections[0].socket)
        await until(lambda: len(ear.begun) == 6)
        assert (len(ear.ended), set(ear.times().values()), feed.watching) == (1, {2}, 3)


@pytest.mark.parametrize("result", [{"value": {"signature": "sig", "err": None}}, {"context": {"slot": 5}}, {}])
async def test_a_notification_that_leaves_out_what_happened_or_when_costs_the_socket(result):
    """Passed over, it would be a payment lost; after the socket everything is healed."""
    (account,), node = names(1), PubSubNode()
    async with gossiping(node), feeding(node.url, [account]) as (_, ear):
        await until(lambda: ear.begun)
        (connection,) = node.connections
        (subscription,) = connection.watched
        params = {"result": result, "subscription": subscription}
        await connection.socket.send_json({"jsonrpc": "2.0", "method": "logsNotification", "params": params})
        await until(lambda: len(ear.begun) == 2)
        assert len(ear.ended) == 1


HARMLESS = {
    "unknown subscription": {"method": "logsNotification", "params": {"result": {}, "subscription": 99}},
    "unknown id": {"id": 12345, "result": 5},
    "another notification": {"method": "rootNotification", "params": {"result": {"value": None}, "subscription": 9}},
    "nothing": {},
}


@pytest.mark.parametrize("message", HARMLESS.values(), ids=HARMLESS)
async def test_messages_that_concern_nobody_are_passed_over(message):
    (account,), node = names(1), PubSubNode()
    async with gossiping(node), feeding(node.url, [account]) as (_, ear):
        await until(lambda: ear.begun)
        (connection,) = node.connections
        await connection.socket.send_json(message)
        await node.notify(connection, next(iter(connection.watched)), "sig", 500)
        await until(lambda: ear.heard(account) == ["sig"])
        assert (len(node.connections), ear.ended) == (1, [])


async def test_a_notification_before_its_answer_is_covered_by_the_slot_that_is_told():
    """The transaction cannot be told, for nobody knows yet whose it is; the heal that follows must find it."""
    (account,), node = names(1), PubSubNode(slot_seconds=60)

    async def early(connection):
        await node.notify(connection, 1, "early", 4_321)

    node.greeting = early
    async with gossiping(node), feeding(node.url, [account]) as (_, ear):
        await until(lambda: ear.begun)
        assert ear.begun == [(account, 4_321)]


async def test_an_account_is_told_only_when_a_slot_is_known():
    """Healing without one could ask a node that lags behind, and miss what happened before the subscription."""
    accounts, node = names(3), PubSubNode(slot_seconds=0.3)
    async with gossiping(node), feeding(node.url, accounts) as (feed, ear):
        await until(lambda: feed.watching == 3)
        assert ear.begun == []
        feed.unfollow(accounts[1])
        await until(lambda: ear.begun)
        assert {account for account, _ in ear.begun} == {accounts[0], accounts[2]}
        assert all(slot > 100 for _, slot in ear.begun)


async def test_the_slot_that_is_told_is_one_that_the_new_socket_has_shown():
    """What happened while there was no socket must be healed up to now, not up to where the old socket ended."""
    (account,), node = names(1), PubSubNode()
    async with gossiping(node), feeding(node.url, [account]) as (_, ear):
        await until(lambda: ear.begun)
        node.slot = 10_000
        node.connections[0].slots = False
        await node.connections[0].socket.close()
        await until(lambda: len(ear.begun) == 2)
    assert ear.begun[0][1] < 10_000 < ear.begun[1][1]


async def test_a_refused_account_that_nobody_wants_any_longer_is_not_moved():
    first, second, third = names(3)
    node = PubSubNode(room=1, delay=lambda: 0.05)
    async with gossiping(node), feeding(node.url, [first]) as (feed, ear):
        await until(lambda: ear.begun)
        feed.follow(second)
        feed.follow(third)
        (shard,) = feed._shards
        await until(lambda: second in shard.refused)
        feed.unfollow(second)
        await until(lambda: node.watched == sorted([first, third]) and feed.watching == 2)
        assert ear.times()[second] == 0


async def test_an_answer_that_is_no_subscription_is_a_refusal():
    (account,), node = names(1), PubSubNode(ids=iter([True, "one", None, 5]))
    async with gossiping(node), feeding(node.url, [account], QUICK) as (feed, ear):
        await until(lambda: ear.begun)
        assert feed.watching == 1
        assert [reason for _, reason in ear.ended] == ["it refuses subscriptions: not an answer"] * 3


async def test_an_account_that_the_node_refuses_does_not_keep_others_from_being_watched():
    others = names(6)
    others.remove(bad := next(iter(set(others[:3]))))  # most likely the first that is asked for
    node = PubSubNode(refused={bad})
    async with gossiping(node), feeding(node.url, [bad, *others[:2]]) as (feed, ear):
        await until(lambda: len(ear.begun) == 2)
        for account in others[2:]:
            feed.follow(account)
        await until(lambda: set(ear.times()) == set(others))
        await until(lambda: any("it refuses subscriptions: not this one" in reason for _, reason in ear.ended))
        node.refused.clear()
        await until(lambda: ear.times()[bad])
        await until(lambda: node.watched == sorted([bad, *others]))
        assert feed.watching == 6


async def test_an_account_unfollowed_and_followed_at_once_stays_watched_and_is_told_again():
    """A node gives the same subscription the same id: whoever asks first and drops then has dropped both."""
    accounts, node = names(2), PubSubNode()
    async with gossiping(node), feeding(node.url, accounts) as (feed, ear):
        await until(lambda: len(ear.begun) == 2)
        feed.unfollow(accounts[0])
        feed.follow(accounts[0])
        await until(lambda: ear.times()[accounts[0]] == 2)
        feed.unfollow(accounts[1])
        await until(lambda: node.watched == [accounts[0]])
        feed.follow(accounts[1])
        await until(lambda: ear.times()[accounts[1]] == 2)
        assert node.watched == sorted(accounts)
        assert feed.watching == 2


class Interrupted(LogsFeed):
    """Somebody else has something to say while the request for `account` is being sent."""

    account, interrupt = None, None

    async def _request(self, socket, request_id, method, params):
        await LogsFeed._request(socket, request_id, method, params)
        if method == "logsSubscribe" and params[0]["mentions"] == [self.account]:
            await self.interrupt()


@asynccontextmanager
async def interrupted(node, account, interrupt):
    ear = Ear()
    async with Interrupted([node.url], ear) as feed:
        feed.account, feed.interrupt = account, lambda: interrupt(feed, ear)
        yield feed, ear


async def test_what_changes_while_a_request_is_sent_is_not_forgotten():
    first, second = names(2)

    async def unfollow_first(feed, ear):
        await until(lambda: ear.times()[second])
        feed.unfollow(first)

    async with gossiping(PubSubNode()) as node, interrupted(node, second, unfollow_first) as (feed, ear):
        feed.follow(first)
        await until(lambda: ear.begun)
        feed.follow(second)
        await until(lambda: node.watched == [second])


@pytest.mark.parametrize("shares_ids", [True, False])
async def test_an_account_that_goes_and_comes_while_a_request_is_sent_is_watched_once(shares_ids):
    first, second, third = names(3)

    async def first_goes_and_comes(feed, _):
        feed.unfollow(first)
        feed.follow(first)

    node = PubSubNode(shares_ids=shares_ids)
    async with gossiping(node), interrupted(node, second, first_goes_and_comes) as (feed, ear):
        feed.follow(first)
        await until(lambda: ear.begun)
        feed.follow(second)
        await until(lambda: ear.times()[first] == 2 and ear.times()[second])
        feed.follow(third)  # what was to be dropped has been by the time this one is watched
        await until(lambda: ear.times()[third])
        assert node.watched == sorted([first, second, third])


@pytest.mark.parametrize("seed", range(10))
async def test_after_any_coming_and_going_exactly_the_followed_accounts_are_watched(seed):
    chance, accounts = random.Random(seed), names(8)
    node = PubSubNode(
        delay=lambda: chance.choice([0, 0, 0.001, 0.01]), shares_ids=seed % 2 == 0, room=None if seed % 3 else 2
    )
    limits = FeedLimits(accounts_per_socket=chance.choice([3, 100]), silence_seconds=5)
    async with gossiping(node), feeding(node.url, limits=limits) as (feed, ear):
        followed, since = set(), {}
        for _ in range(150):
            account = chance.choice(accounts)
            if chance.random() < 0.5:
                if account not in followed:
                    since[account] = len(ear.begun)
                feed.follow(account)
                followed.add(account)
            else:
                feed.unfollow(account)
                followed.discard(account)
            if chance.random() < 0.3:
                await asyncio.sleep(chance.choice([0, 0.001, 0.02]))
            if chance.random() < 0.02 and node.connections:
                await node.connections[-1].socket.close()
        await until(lambda: node.watched == sorted(followed))
        await until(lambda: feed.watching == len(followed))
        # Each was told to be watched after it was last followed: its history gets healed.
        await until(lambda: all(account in dict(ear.begun[since[account] :]) for account in followed))


# --- endpoints that are no nodes


async def test_endpoints_take_turns_until_one_serves(monkeypatch):
    monkeypatch.setattr(pubsub, "_MAX_PAUSE_SECONDS", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections, and never says a word
        async with gossiping(PubSubNode(status=404)) as refusing, gossiping(PubSubNode()) as node:
            urls = ["ws://127.0.0.1:1", f"ws://127.0.0.1:{deaf.getsockname()[1]}", refusing.url, node.url]
            async with feeding(urls, names(1), QUICK) as (feed, ear):
                await until(lambda: ear.begun)
                assert feed.watching == 1
                assert [reason for _, reason in ear.ended][1:] == ["TimeoutError", "HTTP 404"]


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_nothing_that_is_told_of_an_endpoint_carries_its_key(monkeypatch, status):
    monkeypatch.setattr(pubsub, "_MAX_PAUSE_SECONDS", 0.01)
    async with gossiping(PubSubNode(status=status)) as node:
        keyed = node.url.replace("//", "//user:SECRET@") + "/SECRET?api-key=SECRET"
        urls = [keyed, "ws://127.0.0.1:1/SECRET", "ws:///SECRET", "ws://[SECRET", "SECRET"]
        async with feeding(urls, names(1), QUICK) as (_, ear):
            await until(lambda: len(ear.ended) >= 5)
    assert "SECRET" not in repr(ear.ended)
    assert ("127.0.0.1", f"HTTP {status}") in ear.ended
    assert {endpoint for endpoint, _ in ear.ended} == {"127.0.0.1", "unknown"}


async def test_an_endpoint_that_never_serves_is_not_hammered():
    node = PubSubNode()

    async def shut(connection):
        await connection.socket.close()

    node.greeting = shut
    async with gossiping(node), feeding(node.url, names(1)):
        started = time.monotonic()
        await until(lambda: len(node.connections) == 4)
        # The pauses double: 0.1, 0.2 and 0.4 s, each shortened by half at most.
        assert time.monotonic() - started > 0.35


async def test_a_feed_outlives_thousands_of_failures(monkeypatch):
    monkeypatch.setattr(pubsub, "_MAX_PAUSE_SECONDS", 0.0)
    async with feeding("ws://127.0.0.1:1", names(1)) as (_, ear):
        await until(lambda: len(ear.ended) > 1_100, seconds=30)


async def test_a_listener_that_fails_costs_a_socket_and_not_the_feed():
    accounts, node = names(2), PubSubNode()
    async with gossiping(node), feeding(node.url, accounts) as (_, ear):
        await until(lambda: len(ear.begun) == 2)
        real, ear.notified = ear.notified, None
        (connection,) = node.connections
        await node.notify(connection, next(iter(connection.watched)), "sig", 500)
        await until(lambda: len(ear.begun) == 4)
        assert "not callable" in ear.ended[0][1]
        ear.notified = real
        connection = node.connections[-1]
        await node.notify(connection, next(iter(connection.watched)), "again", 501)
        await until(lambda: [signature for _, signature, *_ in ear.notes] == ["again"])


async def test_the_wallet_is_not_told_of_a_transfer_to_its_token_account(net, town):
    """`mentions` looks at a transaction's keys, not at who owns what: every token account must be followed."""
    wallet, account = str(town.bob.pubkey()), str(town.account(town.bob, USDC))
    async with feeding(net.ws_url, [wallet, account]) as (_, ear):
        await until(lambda: len(ear.begun) == 2)
        heard = town.pay(USD).signature
        await until(lambda: ear.heard(account) == [heard])
        assert ear.heard(wallet) == []
