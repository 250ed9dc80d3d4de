"""A merchant and a buyer over HTTP and chain: what the tests of the API share."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
from solders.keypair import Keypair

from api.access.key_ring import make_key
from api.main import serve_until
from api.settings import ApiSettings
from ledger.api_keys import NewApiKey, add_key
from localnet import payments as pay
from tests.support.documented_answers import undocumented

FAST = {"VERIFY_WAIT_MS": 10_000, "PUBLIC_RATE_LIMIT": 0, "AUTH_RATE_LIMIT": 0, "VERIFY_RATE_LIMIT": 0}


@dataclass(frozen=True)
class Reply:
    """What was answered."""

    status: int
    body: Any
    headers: Any
    text: str

    def __getitem__(self, name):
        return self.body[name]

    @property
    def code(self):
        """The code of a refusal; VALID for a payment that is honoured."""
        return self.body.get("code", "VALID" if self.body.get("valid") else None)


@dataclass
class Client:
    """Somebody who calls; `key` may be nobody's."""

    url: str
    http: aiohttp.ClientSession
    key: str | None = None

    def holding(self, key):
        return Client(self.url, self.http, key)

    async def call(self, method, path, body=None, *, headers=None, data=None, is_documented=True) -> Reply:
        """Call a path; each JSON answer has to be as documented, but of a route that is in no document."""
        sent = {"x-api-key": self.key} if self.key else {}
        async with self.http.request(
            method, self.url + path, json=body, data=data, headers={**sent, **(headers or {})}
        ) as response:
            text = await response.text(errors="replace")
            is_json = response.content_type == "application/json"
            body = await response.json() if is_json else None
            if is_json and is_documented:
                assert undocumented(method, path, response.status, body) == []
            return Reply(response.status, body, response.headers, text)

    async def get(self, path, **options):
        return await self.call("GET", path, **options)

    async def post(self, path, body=None, **options):
        return await self.call("POST", path, body, **options)

    async def delete(self, path, **options):
        return await self.call("DELETE", path, **options)

    async def verify(self, proof, **options):
        return await self.call("POST", "/verify", proof, **options)


@contextlib.asynccontextmanager
async def running_api(database_url, redis_url, rpc_urls, *, more=(), **settings):
    """An API process' worth of parts in this process; yields a client without a key."""
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    chosen = ApiSettings(
        **{"PORT": 0, "APP_ENV": "test", "ALLOWED_ORIGINS": "https://shop.example", **FAST, **settings}
    )
    serving = asyncio.create_task(
        serve_until(stop, chosen, database_url, redis_url, rpc_urls, ready=ready.set_result, more=more)
    )
    await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        try:
            yield Client(ready.result(), http)
        finally:
            stop.set()
            await asyncio.wait_for(serving, 30)


async def key_for(pool, user="merchant", permissions=("read", "write"), environment="live", **columns) -> str:
    """A key of a user, as `pay402 keys create` makes it."""
    new = make_key(environment)
    await add_key(pool, NewApiKey(new.prefix, new.hash, user, "test", environment, permissions, **columns))
    return new.key


def proof_of(payer: Keypair, transaction: str, amount, nonce=None, **fields):
    """What 402pay's SDK sends after it has paid."""
    nonce = nonce or f"nonce-{time.time_ns()}"
    return {
        "signature": str(payer.sign_message(nonce.encode())),
        "payer": str(payer.pubkey()),
        "amount": amount,
        "currency": "USDC",
        "nonce": nonce,
        "timestamp": int(time.time() * 1000),
        "transactionId": transaction,
        **fields,
    }


def bound_proof_of(payer: Keypair, transaction: str, amount, recipient, nonce=None, **fields):
    """A proof of version 2: its signature names recipient and transaction, and is good for that payment alone."""
    proof = proof_of(payer, transaction, amount, nonce, recipient=str(recipient), proofVersion=2, **fields)
    text = f"402pay v2|{recipient}|{proof['nonce']}|{transaction}"
    return {**proof, "signature": str(payer.sign_message(text.encode()))}


async def pay_usdc(market, base_units, payer=0, recipient=0):
    """Pay a recipient of the market on chain; returns the transaction's signature and who paid."""
    keypair = market.payers[payer]
    payment = pay.plain(keypair.pubkey(), market.recipients[recipient].pubkey(), base_units)
    return await market.pay(payment, keypair), keypair
