"""LogsFeed and nodes that refuse, garble or forget: no followed account is lost, and none is told twice."""

import asyncio
import json
import random
from contextlib import asynccontextmanager

import pytest

from chain.pubsub import FeedLimits, LogsFeed
from tests.chain.feed_listener import QUICK, RecordingListener, feeding, names
from tests.support.scripted_nodes import PubSubNode, gossiping, until


async def test_a_node_without_slots_is_watched_by_pings_and_announces_no_slot():
    accounts, limits = names(3), FeedLimits(silence_seconds=0.8)
    async with (
        gossiping(PubSubNode(refuses_slots=True)) as node,
        feeding(node.url, accounts, limits) as (feed, listener),
    ):
        await until(lambda: len(listener.begun) == 3)
        assert {slot for _, slot in listener.begun} == {0}
        (connection,) = node.connections
        # Quiet for much longer than the limit on silence, and still the first socket.
        await asyncio.sleep(2.5 * limits.silence_seconds)
        assert (len(node.connections), listener.ended, feed.watching) == (1, [], 3)
        subscription = next(at for at, account in connection.watched.items() if account == accounts[0])
        await node.notify(connection, subscription, "sig", 777)
        await until(lambda: listener.notes)
        assert (listener.notes, feed.slot) == ([(accounts[0], "sig", 777, False)], 777)


@pytest.mark.parametrize("refuses_slots", [False, True])
async def test_a_node_that_never_answers_one_subscription_is_left(refuses_slots):
    accounts = names(4)
    node = PubSubNode(refuses_slots=refuses_slots, ignored={accounts[2]})
    async with gossiping(node), feeding(node.url, accounts, QUICK) as (feed, listener):
        await until(lambda: len(listener.begun) == 3)
        assert feed.watching == 3
        await until(lambda: listener.ended)
        assert listener.ended[0] == ("127.0.0.1", "it has not answered a subscription for 0.4 s")
        node.ignored.clear()
        await until(lambda: listener.times()[accounts[2]] == 1 and feed.watching == 4)
        assert node.watched == sorted(accounts)


async def test_answers_to_others_do_not_hide_a_subscription_that_is_never_answered():
    silent, *others = names(200)
    node = PubSubNode(ignored={silent})
    async with gossiping(node), feeding(node.url, [silent], QUICK) as (feed, listener):
        while not listener.ended:
            feed.follow(others.pop())
            await asyncio.sleep(0.02)
        assert listener.ended[0][1].startswith("it has not answered a subscription")


GARBAGE = {
    "no json": "hello",
    "cut short": '{"jsonrpc":"2.0","method":"logsNot',
    "list": "[]",
    "other types": '{"params": {"result": 5, "subscription": "x"}}',
    "not utf-8": b'{"method":"\xff\xfe"}',
    "bytes": b"\x00\x01",
}


async def test_accounts_are_subscribed_one_by_one_at_confirmed():
    """At `finalized` a node never tells of the slots that a root jumps over."""
    accounts, node = names(3), PubSubNode()
    async with gossiping(node), feeding(node.url, accounts) as (_, listener):
        await until(lambda: len(listener.begun) == 3)
        asked = [one["params"] for one in node.connections[0].asked if one["method"] == "logsSubscribe"]
    assert {watch["mentions"][0] for watch, _ in asked} == set(accounts)
    assert all(len(watch["mentions"]) == 1 and how == {"commitment": "confirmed"} for watch, how in asked)


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_costs_the_socket_and_nothing_else(garbage):
    accounts, node = names(3), PubSubNode()
    async with gossiping(node), feeding(node.url, accounts) as (feed, listener):
        await until(lambda: len(listener.begun) == 3)
        await node.connections[0].socket.send(garbage)
        await until(lambda: len(listener.begun) == 6)
        assert (len(listener.ended), set(listener.times().values()), feed.watching) == (1, {2}, 3)


@pytest.mark.parametrize("result", [{"value": {"signature": "sig", "err": None}}, {"context": {"slot": 5}}, {}])
async def test_a_notification_that_leaves_out_what_happened_or_when_costs_the_socket(result):
    """Passed over, it would be a payment lost; after the socket everything is healed."""
    (account,), node = names(1), PubSubNode()
    async with gossiping(node), feeding(node.url, [account]) as (_, listener):
        await until(lambda: listener.begun)
        (connection,) = node.connections
        (subscription,) = connection.watched
        params = {"result": result, "subscription": subscription}
        message = {"jsonrpc": "2.0", "method": "logsNotification", "params": params}
        await connection.socket.send(json.dumps(message))
        await until(lambda: len(listener.begun) == 2)
        assert len(listener.ended) == 1


HARMLESS = {
    "unknown subscription": {"method": "logsNotification", "params": {"result": {}, "subscription": 99}},
    "unknown id": {"id": 12345, "result": 5},
    "another notification": {"method": "rootNotification", "params": {"result": {"value": None}, "subscription": 9}},
    "nothing": {},
}


@pytest.mark.parametrize("message", HARMLESS.values(), ids=HARMLESS)
async def test_messages_that_concern_nobody_are_passed_over(message):
    (account,), node = names(1), PubSubNode()
    async with gossiping(node), feeding(node.url, [account]) as (_, listener):
        await until(lambda: listener.begun)
        (connection,) = node.connections
        await connection.socket.send(json.dumps(message))
        await node.notify(connection, next(iter(connection.watched)), "sig", 500)
        await until(lambda: listener.heard(account) == ["sig"])
        assert (len(node.connections), listener.ended) == (1, [])


async def test_a_notification_before_its_answer_is_covered_by_the_slot_that_is_announced():
    """The transaction cannot be announced: no one knows yet whose it is; the heal that follows must find it."""
    (account,), node = names(1), PubSubNode(slot_seconds=60)

    async def early(connection):
        await node.notify(connection, 1, "early", 4_321)

    node.greeting = early
    async with gossiping(node), feeding(node.url, [account]) as (_, listener):
        await until(lambda: listener.begun)
        assert listener.begun == [(account, 4_321)]


async def test_an_account_is_announced_only_when_a_slot_is_known():
    """Healing without one could ask a node that lags behind, and miss what happened before the subscription."""
    accounts, node = names(3), PubSubNode(slot_seconds=0.3)
    async with gossiping(node), feeding(node.url, accounts) as (feed, listener):
        await until(lambda: feed.watching == 3)
        assert listener.begun == []
        feed.unfollow(accounts[1])
        await until(lambda: listener.begun)
        assert {account for account, _ in listener.begun} == {accounts[0], accounts[2]}
        assert all(slot > 100 for _, slot in listener.begun)


async def test_the_slot_that_is_announced_is_one_that_the_new_socket_has_shown():
    """What happened while there was no socket must be healed up to now, not up to where the old socket ended."""
    (account,), node = names(1), PubSubNode()
    async with gossiping(node), feeding(node.url, [account]) as (_, listener):
        await until(lambda: listener.begun)
        node.slot = 10_000
        node.connections[0].slots = False
        await node.connections[0].socket.close()
        await until(lambda: len(listener.begun) == 2)
    assert listener.begun[0][1] < 10_000 < listener.begun[1][1]


async def test_a_refused_account_that_nobody_wants_any_longer_is_not_moved():
    first, second, third = names(3)
    node = PubSubNode(room=1, delay=lambda: 0.05)
    async with gossiping(node), feeding(node.url, [first]) as (feed, listener):
        await until(lambda: listener.begun)
        feed.follow(second)
        feed.follow(third)
        (shard,) = feed._shards
        await until(lambda: second in shard.refused)
        feed.unfollow(second)
        await until(lambda: node.watched == sorted([first, third]) and feed.watching == 2)
        assert listener.times()[second] == 0


async def test_an_answer_that_is_no_subscription_is_a_refusal():
    (account,), node = names(1), PubSubNode(ids=iter([True, "one", None, 5]))
    async with gossiping(node), feeding(node.url, [account], QUICK) as (feed, listener):
        await until(lambda: listener.begun)
        assert feed.watching == 1
        assert [reason for _, reason in listener.ended] == ["it refuses subscriptions: not an answer"] * 3


async def test_an_account_that_the_node_refuses_does_not_keep_others_from_being_watched():
    others = names(6)
    others.remove(bad := next(iter(set(others[:3]))))  # most likely the first that is asked for
    node = PubSubNode(refused={bad})
    async with gossiping(node), feeding(node.url, [bad, *others[:2]]) as (feed, listener):
        await until(lambda: len(listener.begun) == 2)
        for account in others[2:]:
            feed.follow(account)
        await until(lambda: set(listener.times()) == set(others))
        await until(lambda: any("it refuses subscriptions: not this one" in reason for _, reason in listener.ended))
        node.refused.clear()
        await until(lambda: listener.times()[bad])
        await until(lambda: node.watched == sorted([bad, *others]))
        assert feed.watching == 6


async def test_an_account_unfollowed_and_followed_at_once_stays_watched_and_is_announced_again():
    """A node gives the same subscription the same id: whoever asks first and drops then has dropped both."""
    accounts, node = names(2), PubSubNode()
    async with gossiping(node), feeding(node.url, accounts) as (feed, listener):
        await until(lambda: len(listener.begun) == 2)
        feed.unfollow(accounts[0])
        feed.follow(accounts[0])
        await until(lambda: listener.times()[accounts[0]] == 2)
        feed.unfollow(accounts[1])
        await until(lambda: node.watched == [accounts[0]])
        feed.follow(accounts[1])
        await until(lambda: listener.times()[accounts[1]] == 2)
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
    listener = RecordingListener()
    async with Interrupted([node.url], listener) as feed:
        feed.account, feed.interrupt = account, lambda: interrupt(feed, listener)
        yield feed, listener


async def test_what_changes_while_a_request_is_sent_is_not_forgotten():
    first, second = names(2)

    async def unfollow_first(feed, listener):
        await until(lambda: listener.times()[second])
        feed.unfollow(first)

    async with gossiping(PubSubNode()) as node, interrupted(node, second, unfollow_first) as (feed, listener):
        feed.follow(first)
        await until(lambda: listener.begun)
        feed.follow(second)
        await until(lambda: node.watched == [second])


@pytest.mark.parametrize("shares_ids", [True, False])
async def test_an_account_that_goes_and_comes_while_a_request_is_sent_is_watched_once(shares_ids):
    first, second, third = names(3)

    async def first_goes_and_comes(feed, _):
        feed.unfollow(first)
        feed.follow(first)

    node = PubSubNode(shares_ids=shares_ids)
    async with gossiping(node), interrupted(node, second, first_goes_and_comes) as (feed, listener):
        feed.follow(first)
        await until(lambda: listener.begun)
        feed.follow(second)
        await until(lambda: listener.times()[first] == 2 and listener.times()[second])
        feed.follow(third)  # what was to be dropped has been by the time this one is watched
        await until(lambda: listener.times()[third])
        assert node.watched == sorted([first, second, third])


@pytest.mark.parametrize("seed", range(10))
async def test_after_any_coming_and_going_exactly_the_followed_accounts_are_watched(seed):
    chance, accounts = random.Random(seed), names(8)
    node = PubSubNode(
        delay=lambda: chance.choice([0, 0, 0.001, 0.01]), shares_ids=seed % 2 == 0, room=None if seed % 3 else 2
    )
    limits = FeedLimits(accounts_per_socket=chance.choice([3, 100]), silence_seconds=5)
    async with gossiping(node), feeding(node.url, limits=limits) as (feed, listener):
        followed, since = set(), {}
        for _ in range(150):
            account = chance.choice(accounts)
            if chance.random() < 0.5:
                if account not in followed:
                    since[account] = len(listener.begun)
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
        await until(lambda: all(account in dict(listener.begun[since[account] :]) for account in followed))


async def test_a_slot_that_a_node_once_made_up_is_no_measure_for_good():
    async with gossiping(PubSubNode()) as node, feeding(node.url, names(1), QUICK) as (feed, listener):
        await until(lambda: listener.begun)
        true_slot, node.slot = node.slot, 10**12
        await until(lambda: feed.slot >= 10**12)
        node.slot = true_slot
        await until(lambda: true_slot < feed.slot < 10**12)
        before = feed.progressed_at
        await until(lambda: feed.progressed_at > before)


async def test_sockets_at_nodes_that_stand_still_far_apart_make_no_progress_by_taking_turns():
    """Each shows its first slot again and again, and falls silent."""
    ahead, behind = PubSubNode(slot=10_000, slot_seconds=3600), PubSubNode(slot=100, slot_seconds=3600)

    def saying_its_slot(node):
        async def greet(connection):
            await node.notify_of(connection, "slotNotification", 1, {"slot": node.slot, "parent": 0, "root": 0})

        return greet

    ahead.greeting, behind.greeting = saying_its_slot(ahead), saying_its_slot(behind)
    async with (
        gossiping(ahead),
        gossiping(behind),
        feeding([ahead.url, behind.url], names(1), QUICK) as (feed, listener),
    ):
        await until(lambda: feed.slot == 10_000)
        await until(lambda: feed.slot == 100)
        before = feed.progressed_at
        ended = len(listener.ended)
        await until(lambda: len(listener.ended) >= ended + 3)
        assert feed.progressed_at == before
