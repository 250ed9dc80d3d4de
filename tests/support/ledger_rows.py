"""The ledger's entries made by hand: where it matters what the ledger holds, and not how it came there.

The tests over a real chain are in `test_verify_outcomes.py`; here nothing has to be waited for.
"""

import contextlib
import datetime as dt
import os
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from aiohttp import web
from solders.keypair import Keypair
from solders.signature import Signature

from ledger.recipients import register_wallet
from ledger.sql import load_queries
from localnet.payments import USDC
from tests.support.api_client import Client, key_for, proof_of

REQUESTS = load_queries("ledger", "payment_requests.sql")
NO_NODE = "http://127.0.0.1:9"
TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"


def new_signature() -> str:
    """A transaction's signature that nobody has."""
    return str(Signature(os.urandom(64)))


async def book(pool, payer, wallet, amount, **columns) -> str:
    """A transfer in the ledger, of USDC unless told otherwise; returns its transaction's signature."""
    row = {
        "signature": new_signature(), "path": "0", "slot": 100, "kind": "transfer", "program": TOKEN_PROGRAM,
        "mint": str(USDC), "source": str(payer), "destination": str(wallet), "source_owner": str(payer),
        "destination_owner": str(wallet), "authority": str(payer), "amount": amount, "fee": 0,
        "finality": "confirmed", "reference_keys": [], "memos": [], "block_time": None, **columns,
    }  # fmt: skip
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await pool.execute(f"INSERT INTO transfers ({', '.join(row)}) VALUES ({places})", *row.values())
    await pool.execute("SELECT pg_notify('transfers', $1)", row["signature"])
    return row["signature"]


@dataclass
class Vendor:
    """A merchant with a followed wallet and a key, and a buyer."""

    api: Client
    pool: asyncpg.Pool
    user: str = "merchant"
    wallet: str = field(default_factory=lambda: str(Keypair().pubkey()))
    buyer: Keypair = field(default_factory=Keypair)
    client: Client = field(init=False)

    async def open(self, **key: Any) -> "Vendor":
        await register_wallet(self.pool, address=self.wallet, user_id=self.user, label=None, followed_from_slot=0)
        self.client = self.api.holding(await key_for(self.pool, self.user, **key))
        return self

    async def paid(self, amount=10_000, **columns) -> str:
        return await book(self.pool, self.buyer.pubkey(), self.wallet, amount, **columns)

    def proof(self, transaction, amount="0.01", **fields):
        return proof_of(self.buyer, transaction, amount, **fields)

    async def requested(self, amount=10_000, *, seconds=900.0, scheme="minimum", resource=None, **terms) -> Any:
        """A payment request of the merchant, in base units of USDC."""
        nonce = os.urandom(8).hex()
        environment = await self.pool.fetchval("SELECT environment FROM recipients WHERE address = $1", self.wallet)
        return await REQUESTS.add_request(
            self.pool, nonce=nonce, user_id=self.user, recipient=self.wallet, mint=str(USDC), currency="USDC",
            amount=amount, resource=resource, scheme=scheme, metadata={}, reference=str(Keypair().pubkey()),
            environment="live", expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds),
            wallet_environment=environment, **{"proof_version": 1, "final_only": False, **terms},
        )  # fmt: skip

    async def claim(self, nonce) -> Any:
        return await self.pool.fetchrow(
            'SELECT * FROM transactions WHERE nonce = $1 ORDER BY "timestamp" LIMIT 1', nonce
        )


@contextlib.asynccontextmanager
async def counting_node():
    """A node that knows no transaction; yields its address and the list of the methods it was asked for.

    Which cluster it serves every node is asked now and then, whatever requests come: that is not in the list.
    """
    asked = []

    async def answer(request):
        call = await request.json()
        if call["method"] != "getGenesisHash":
            asked.append(call["method"])
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": None})

    application = web.Application()
    application.router.add_post("/", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()
