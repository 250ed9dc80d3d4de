"""examples/webhook_receiver.py takes our webhooks by the published library, each once, and nobody else's."""

import importlib.util
import time

import aiohttp
import pytest
from aiohttp import web

from runtime.webhook_signatures import new_signing_keys, secret_text, signed_headers
from tests.support.feed_publishing import log_event
from tests.support.job_shop import fast_settings
from tests.support.ledger_checks import eventually
from tests.support.source_tree import ROOT
from tests.support.webhook_receivers import Receiver, subscribe, well
from worker.main import running_worker


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("webhook_receiver", ROOT / "examples" / "webhook_receiver.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def shop(example):
    """The example with what it took; it serves until the test ends."""
    keys, taken = new_signing_keys(), []

    async def take(event):
        taken.append(event)

    runner = web.AppRunner(example.receiver(secret_text(keys), take))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    opened = Receiver(well, keys=keys, url=f"http://127.0.0.1:{runner.addresses[0][1]}/hooks")
    yield opened, taken
    await runner.cleanup()


async def test_the_example_takes_what_we_send(shop, net, database_url, redis_url, pool):
    receiver, taken = shop
    await subscribe(pool, receiver)
    async with running_worker(fast_settings(), database_url, redis_url, [net.rpc_url]):
        for n in range(3):
            await log_event(pool, "key.revoked", subject=f"sk_live_{n}")
        await eventually(lambda: len(taken) == 3)
    assert sorted(event["data"]["keyPrefix"] for event in taken) == ["sk_live_0", "sk_live_1", "sk_live_2"]


async def test_the_example_takes_an_event_once_and_nothing_that_others_sign(shop):

    receiver, taken = shop
    body = b'{"id":"evt_1","type":"webhook.test","data":{}}'

    def headers(keys, at):
        return signed_headers("evt_1", int(at), body, secret_keys=[keys.secret], seeds=[keys.signing_seed])

    async with aiohttp.ClientSession() as http:

        async def post(sent, data=body):
            async with http.post(receiver.url, data=data, headers=sent) as response:
                return response.status

        good = headers(receiver.keys, time.time())
        assert [await post(good), await post(good)] == [204, 204]
        assert len(taken) == 1
        assert await post(headers(new_signing_keys(), time.time())) == 401
        assert await post(good, body.replace(b"{}", b'{"a":1}')) == 401
        assert await post(headers(receiver.keys, time.time() - 600)) == 401
        assert await post({}) == 401
    assert len(taken) == 1
