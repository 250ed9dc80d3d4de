import asyncio
import base64
import itertools
import json
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from solana.rpc.async_api import AsyncClient
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed

from chain.base58 import b58encode
from localnet import Chain, Localnet
from tests.support.wallets import Town

CLOSE_SECONDS = 0.5
CUT = 1006  # the close code of a connection that ended without a handshake


class RefusedError(Exception):
    def __init__(self, error):
        super().__init__(f"{error['code']}: {error['message']}")
        self.code, self.message, self.data = error["code"], error["message"], error.get("data")


class Wire:
    """A JSON-RPC client that hides nothing: results as JSON, error answers as RefusedError."""

    def __init__(self, session, url):
        self.session, self.url = session, url

    async def __call__(self, method, *params):
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
        async with self.session.post(self.url, json=body) as response:
            assert response.status == 200, response.status
            answer = await response.json()
        assert answer["id"] == 7
        if "error" in answer:
            raise RefusedError(answer["error"])
        return answer["result"]


class Feed:
    """A PubSub connection that hides nothing: answers and notifications as JSON, in order of arrival."""

    def __init__(self, socket):
        self.socket, self.answers, self.notes, self.ids = socket, {}, [], itertools.count(1)

    async def ask(self, method, *params):
        number = next(self.ids)
        await self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)})
        while number not in self.answers:
            await self._receive()
        answer = self.answers.pop(number)
        if "error" in answer:
            raise RefusedError(answer["error"])
        return answer["result"]

    async def next(self):
        """The next notification's params, oldest first."""
        while not self.notes:
            await self._receive()
        return self.notes.pop(0)

    async def values(self, count):
        return [(await self.next())["result"]["value"] for _ in range(count)]

    async def flush(self):
        """Everything sent so far has arrived, for an answer comes after it; how much is waiting."""
        with pytest.raises(RefusedError):
            await self.ask("nothing")
        return len(self.notes)

    async def send(self, message):
        await self.socket.send(json.dumps(message))

    async def ended(self):
        """Reads until the connection ends; answers its close code."""
        async with asyncio.timeout(5):
            with suppress(ConnectionClosed):
                while True:
                    await self.socket.recv()
        return self.socket.close_code

    async def _receive(self):
        message = json.loads(await asyncio.wait_for(self.socket.recv(), 5))
        if "method" in message:
            self.notes.append(message["params"] | {"kind": message["method"]})
        else:
            self.answers[message["id"]] = message


@asynccontextmanager
async def feeding(url):
    """Opens PubSub connections, and closes them."""
    opened = []

    async def connect():
        socket = await open_socket(url.replace("http:", "ws:"), close_timeout=CLOSE_SECONDS, ping_interval=None)
        opened.append(Feed(socket))
        return opened[-1]

    try:
        yield connect
    finally:
        for one in opened:
            await one.socket.close()


async def until(condition):
    """Lets everything else run until `condition` holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - it becomes true beyond a socket
            await asyncio.sleep(0.001)


def encoded(transaction, how="base64"):
    data = bytes(transaction)
    return base64.b64encode(data).decode() if how == "base64" else b58encode(data)


async def refusal(call):
    with pytest.raises(RefusedError) as raised:
        await call
    return raised.value


def steady_clock():
    seconds = itertools.count(1_700_000_000)
    return lambda: next(seconds)


@asynccontextmanager
async def wired(net):
    async with aiohttp.ClientSession() as session:
        yield Wire(session, net.rpc_url)


@pytest.fixture
def chain():
    """Ticks by hand; a block is confirmed one tick after it closes, finalized four after."""
    return Chain(finalize_slots=4, clock=steady_clock())


@pytest.fixture
def town(chain):
    return Town(chain)


@pytest.fixture
async def net():
    """A node whose slots tick by hand: closed, confirmed after one more tick, finalized after four more."""
    async with Localnet.start(slot_seconds=None, finalize_slots=4, clock=steady_clock()) as localnet:
        yield localnet


@pytest.fixture
async def live():
    """A node whose slots tick by themselves, fast."""
    async with Localnet.start(slot_seconds=0.02, finalize_slots=4) as localnet:
        yield localnet


@pytest.fixture
async def wire(net):
    async with wired(net) as call:
        yield call


@pytest.fixture
async def client(net):
    async with AsyncClient(net.rpc_url, commitment="confirmed") as solana:
        yield solana


@pytest.fixture
def street(net):
    """Alice and Bob on the node that ticks by hand."""
    return Town(net.chain)


@pytest.fixture
async def connect(net):
    """Opens PubSub connections."""
    async with feeding(net.ws_url) as open_one:
        yield open_one
