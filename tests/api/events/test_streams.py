"""GET /events/stream: what happens, as it happens; who was away misses nothing."""

import asyncio
import contextlib
import json

import pytest

from api.events import routes
from api.events.streams import FeedStreams
from ledger.api_keys import revoke_key
from tests.support.api_client import key_for, running_api
from tests.support.feed_publishing import log_event, publish
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import NO_NODE


class Reader:
    """Somebody who reads a stream, event by event."""

    def __init__(self, response):
        self.response = response
        self.comments = 0

    async def events(self, count):
        found, fields = [], {}
        while len(found) < count:
            line = (await self.response.content.readuntil(b"\n")).decode().rstrip("\n")
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                found.append((fields["id"], fields["event"], json.loads(fields["data"])))
                fields = {}
        return found

    async def ends(self):
        with contextlib.suppress(Exception):
            async with asyncio.timeout(20):
                while await self.response.content.readany():
                    pass
                return True
        return self.response.content.at_eof()


@contextlib.asynccontextmanager
async def reading(client, query="", **headers):
    sent = {"x-api-key": client.key, **headers}
    async with client.http.get(f"{client.url}/events/stream{query}", headers=sent) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        # The first bytes say that it listens.
        assert await response.content.readuntil(b"\n\n") == b"retry: 1000\n\n"
        yield Reader(response)


async def test_what_happens_arrives_and_what_is_anothers_does_not(vendor, pool):
    await publish(pool)
    async with reading(vendor.client) as reader:
        await log_event(pool, "key.revoked", "rival", "sk_live_rival")
        await log_event(pool, "key.revoked", subject="sk_live_mine")
        await publish(pool)
        ((name, kind, body),) = await reader.events(1)
        assert (kind, body["data"]["keyPrefix"], body["id"]) == ("key.revoked", "sk_live_mine", name)


async def test_who_was_away_goes_on_after_the_last_event_that_they_had(vendor, pool):
    for n in range(3):
        await log_event(pool, "key.revoked", subject=f"sk_live_{n}")
    await publish(pool)
    page = await vendor.client.get("/events?type=key.revoked")
    first = page["events"][0]["id"]
    async with reading(vendor.client, "?type=key.revoked", **{"Last-Event-ID": first}) as reader:
        missed = [body["data"]["keyPrefix"] for _, _, body in await reader.events(2)]
        await log_event(pool, "key.revoked", subject="sk_live_next")
        await publish(pool)
        ((_, _, body),) = await reader.events(1)
    assert [*missed, body["data"]["keyPrefix"]] == ["sk_live_1", "sk_live_2", "sk_live_next"]


async def test_readers_that_come_and_go_while_much_happens_miss_nothing_and_see_nothing_twice(vendor, pool):
    await publish(pool)
    cursor, seen = (await vendor.client.get("/events"))["cursor"], []

    async def write():
        for n in range(300):
            await log_event(pool, "key.revoked", subject=f"sk_live_{n}")
            if n % 7 == 0:
                await publish(pool)
        await publish(pool)

    writing = asyncio.create_task(write())
    while len(seen) < 300:
        async with reading(vendor.client, f"?after={cursor}") as reader:
            for name, _, body in await reader.events(min(40, 300 - len(seen))):
                seen.append(body["data"]["keyPrefix"])
                cursor = name
    await writing
    assert seen == [f"sk_live_{n}" for n in range(300)]


async def test_a_stream_without_news_shows_that_it_lives(vendor, monkeypatch):
    monkeypatch.setattr(routes, "_KEY_CHECK_SECONDS", 0.05)
    monkeypatch.setattr(routes, "_HEARTBEAT_SECONDS", 0.1)
    async with reading(vendor.client) as reader:
        assert (await reader.response.content.readuntil(b"\n\n")).startswith(b":")


async def test_a_stream_ends_with_the_key_that_opened_it(vendor, pool):
    key = await key_for(pool, "merchant")
    async with reading(vendor.api.holding(key)) as reader:
        moment = await pool.fetchval("SELECT clock_timestamp()")
        assert await revoke_key(pool, key[: len("sk_live_") + 10], moment)
        assert await reader.ends()


async def has_place(client):
    async with client.http.get(f"{client.url}/events/stream", headers={"x-api-key": client.key}) as response:
        return response.status == 200


async def test_streams_are_bounded_for_all_and_for_each(database_url, redis_url, pool):
    bounds = {"API_STREAMS": 3, "API_STREAMS_PER_USER": 2}
    async with running_api(database_url, redis_url, [NO_NODE], **bounds) as api:
        one, two = [api.holding(await key_for(pool, user)) for user in ("one", "two")]
        async with contextlib.AsyncExitStack() as stack:
            for client in (one, one, two):
                await stack.enter_async_context(reading(client))
            for client in (one, two):
                refused = await client.get("/events/stream")
                assert (refused.status, refused.code) == (503, "UNAVAILABLE")
        # Places are given back.
        async with asyncio.timeout(10):
            while not await has_place(one):
                pass


async def test_a_reader_that_is_too_slow_is_cut_off_and_holds_up_nobody(vendor, pool, monkeypatch):
    monkeypatch.setattr("api.events.streams.ENTRIES_WAITING_MAX", 5)
    subscriptions = []
    subscribed = FeedStreams.subscribed

    @contextlib.contextmanager
    def noting(self, *arguments):
        with subscribed(self, *arguments) as subscription:
            subscriptions.append(subscription)
            yield subscription

    monkeypatch.setattr(FeedStreams, "subscribed", noting)
    await publish(pool)
    async with reading(vendor.client) as slow:
        await eventually(lambda: subscriptions[0].is_live)
        # More at once than may wait for it.
        for n in range(20):
            await log_event(pool, "key.revoked", subject=f"sk_live_{n}")
        await publish(pool)
        assert await slow.ends()
    page = await vendor.client.get("/events?type=key.revoked")
    assert len(page["events"]) == 20


async def test_streams_end_with_the_process(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE]) as api:
        stack = contextlib.AsyncExitStack()
        reader = await stack.enter_async_context(reading(api.holding(await key_for(pool))))
    # The process has ended well although a stream was open, and before it would have been forced to.
    assert await reader.ends()
    await stack.aclose()


@pytest.mark.parametrize("place", ["evt_99999", "nonsense"])
async def test_a_stream_from_a_place_that_there_is_not_is_refused(vendor, place):
    reply = await vendor.client.get("/events/stream", headers={"Last-Event-ID": place})
    assert reply.status == 400
