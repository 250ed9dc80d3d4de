"""Each fault of notifications and sockets does what it says, as often as it says."""

import asyncio

import pytest

from tests.localnet.conftest import CUT, RefusedError


async def listen(connect, street):
    socket = await connect()
    await socket.ask("logsSubscribe", {"mentions": [str(street.to_account)]}, {"commitment": "processed"})
    return socket


async def reported(socket):
    await socket.flush()
    return [note["result"]["value"]["signature"] for note in socket.notes]


def pay(street, count):
    return [street.pay(amount).signature for amount in range(1, count + 1)]


async def test_exactly_one_notification_can_be_lost(net, connect, street):
    socket = await listen(connect, street)
    net.set_faults({"notificationsLost": {"rate": 1, "count": 1, "after": 1}})
    sent = pay(street, 4)
    assert await reported(socket) == [sent[0], sent[2], sent[3]]


async def test_notifications_can_be_lost_by_rate(net, connect, street):
    socket = await listen(connect, street)
    net.set_faults({"notificationsLost": 0.5})
    sent = pay(street, 60)
    arrived = await reported(socket)
    assert 15 < len(arrived) < 45
    assert arrived == [signature for signature in sent if signature in arrived]


async def test_a_notification_can_come_twice(net, connect, street):
    socket = await listen(connect, street)
    net.set_faults({"notificationsDoubled": {"count": 1}})
    first, second = pay(street, 2)
    assert await reported(socket) == [first, first, second]


async def test_a_notification_can_be_overtaken(net, connect, street):
    socket = await listen(connect, street)
    net.set_faults({"notificationsOutOfOrder": {"count": 1}})
    first, second, third = pay(street, 3)
    assert await reported(socket) == [second, first, third]


async def test_a_notification_can_come_late(net, connect, street):
    socket = await listen(connect, street)
    net.set_faults({"notificationsLate": {"amount": 0.05, "count": 1}})
    loop = asyncio.get_running_loop()
    begun = loop.time()
    first, second = pay(street, 2)
    assert await reported(socket) == [second]
    socket.notes.clear()
    assert (await socket.next())["result"]["value"]["signature"] == first
    assert loop.time() - begun > 0.04  # the clocks of event loops are coarse


async def test_slots_are_not_lost_unless_they_are_named(net, connect):
    socket = await connect()
    await socket.ask("slotSubscribe")
    net.set_faults({"notificationsLost": 1})
    net.chain.tick(3)
    assert await socket.flush() == 3
    net.set_faults({"notificationsLost": {"methods": ["slotNotification"]}})
    net.chain.tick(3)
    assert await socket.flush() == 3


async def test_a_socket_can_be_cut_after_so_many_notifications(net, connect, street):
    cut, other = await listen(connect, street), await connect()
    net.set_faults({"socketsClosed": {"after": 2, "count": 1}})
    sent = pay(street, 4)
    assert [(await cut.next())["result"]["value"]["signature"] for _ in range(2)] == sent[:2]
    assert await cut.ended() == CUT
    assert await other.flush() == 0


async def test_a_dying_socket_uses_up_no_other_fault(net, connect, street):
    dying, living = await listen(connect, street), await listen(connect, street)
    net.set_faults({"socketsClosed": {"count": 1}, "notificationsLost": {"count": 1, "after": 1}})
    sent = pay(street, 3)
    assert await reported(living) == [sent[0], sent[2]]
    assert await dying.ended() == CUT


async def test_a_silent_socket_stays_open_and_says_nothing_ever_again(net, connect, street):
    silent = await listen(connect, street)
    await silent.ask("slotSubscribe")
    healthy = await listen(connect, street)
    net.set_faults({"socketsSilent": {"count": 1}})
    sent = pay(street, 3)
    net.chain.tick(3)
    assert await reported(healthy) == sent
    unanswered = await silent.socket.ping()
    await silent.send({"jsonrpc": "2.0", "id": 99, "method": "slotSubscribe"})
    net.chain.tick(3)
    assert await reported(healthy) == sent
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(silent.socket.recv(), 0.05)
    assert not unanswered.done()
    assert silent.socket.close_code is None


async def test_a_deaf_socket_answers_but_is_never_notified_again(net, connect, street):
    deaf = await listen(connect, street)
    await deaf.ask("slotSubscribe")
    net.set_faults({"socketsDeaf": {"count": 1}})
    pay(street, 3)
    net.chain.tick(3)
    assert await deaf.flush() == 0
    assert await deaf.ask("slotSubscribe")


async def test_all_sockets_can_be_cut_at_once(net, connect, wire):
    sockets = [await connect() for _ in range(3)]
    for socket in sockets:
        await socket.flush()
    assert await wire("localnet_closeSockets") == 3
    for socket in sockets:
        assert await socket.ended() == CUT
    fresh = await connect()
    await fresh.ask("slotSubscribe")
    net.chain.tick()
    assert await fresh.flush() == 1


async def test_a_connection_that_is_gone_hears_nothing_late(net, connect, street):
    """A late notification of a closed connection must neither be sent nor raise."""
    socket = await listen(connect, street)
    net.set_faults({"notificationsLate": 0.02})
    street.pay(1)
    await socket.socket.close()
    await asyncio.sleep(0.04)
    assert net.pubsub._of_socket == {}
    with pytest.raises(RefusedError):
        await (await connect()).ask("nothing")
