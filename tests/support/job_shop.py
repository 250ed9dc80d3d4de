"""Jobs ordered and paid on a localnet, for the tests of the worker."""

import base64
import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from chain.rpc import RpcPool
from ledger.invariants import check_invariants
from ledger.job_steps import Party
from ledger.jobs import take_step
from ledger.tokens import NATIVE_SOL
from localnet import payments as pay
from localnet.payments import USDC
from worker.settings import WorkerSettings

FAST = {
    "METRICS_PORT": 0,
    "WORKER_RECONCILE_SECONDS": 1,
    "WORKER_SETTLE_SECONDS": 1,
    "WORKER_SWEEP_SECONDS": 5,
    "WORKER_GAUGE_SECONDS": 1,
    "WORKER_INSPECT_SECONDS": 2,
    "WORKER_HOUSEKEEPING_SECONDS": 2,
    "WORKER_HEARTBEAT_SECONDS": 0.5,
    "WORKER_GRACE_SECONDS": 0.5,
    "WORKER_EXPIRE_SECONDS": 1,
    "WORKER_PAYOUT_RETRY_SECONDS": 0.2,
}
PRICE = 5_000_000


def fast_settings(**changes) -> WorkerSettings:
    """A worker that waits for nothing longer than a test can."""
    return WorkerSettings(**{**FAST, **changes})


def secret(keypair: Keypair) -> str:
    """As `solana-keygen` writes it."""
    return str(list(bytes(keypair)))


@dataclass
class Shop:
    """A settlement wallet that is followed, a client with money, a provider with an empty account."""

    pool: asyncpg.Pool
    rpc: RpcPool
    wallet: Keypair
    client: Keypair = field(default_factory=Keypair)
    provider: Keypair = field(default_factory=Keypair)

    async def call(self, method: str, *params: Any) -> Any:
        return await self.rpc.call(method, list(params), Any)

    async def prepare(self) -> None:
        for keypair in (self.wallet, self.client):
            await self.call("requestAirdrop", str(keypair.pubkey()), 10_000_000_000)
        await self.call("localnet_fundToken", str(self.client.pubkey()), str(USDC), 1_000_000_000)
        for owner in (self.wallet, self.provider):
            await self.call("localnet_fundToken", str(owner.pubkey()), str(USDC), 0)

    async def service(self) -> uuid.UUID:
        return await self.pool.fetchval(
            "INSERT INTO agent_services (user_id, agent_id, payout_address, name, category, pricing_model,"
            " price_amount, price_mint, price_currency)"
            " VALUES ('provider', 'agent-p', $1, 'Summaries', 'ai', 'fixed', $2, $3, 'USDC') RETURNING id",
            str(self.provider.pubkey()),
            PRICE,
            str(USDC),
        )

    async def order(
        self,
        *,
        price: int = PRICE,
        mint: str = str(USDC),
        funding_seconds=3600.0,
        job_seconds=7200.0,
        service=None,
        client_user: str = "client",
        payout_address: str | None = None,
    ) -> "Order":
        reference, nonce = Keypair().pubkey(), uuid.uuid4().hex
        now = dt.datetime.now(dt.UTC)
        currency = "SOL" if mint == NATIVE_SOL else "USDC"
        await self.pool.execute(
            "INSERT INTO nonces (nonce, user_id, recipient, mint, currency, amount, reference, expires_at)"
            " VALUES ($1, 'merchant', $2, $3, $4, $5, $6, $7)",
            nonce, str(self.wallet.pubkey()), mint, currency, price, str(reference),
            now + dt.timedelta(seconds=funding_seconds),
        )  # fmt: skip
        job = await self.pool.fetchval(
            "INSERT INTO job_requests (service_id, client_user_id, client_agent_id, provider_user_id,"
            " provider_agent_id, payout_address, price_amount, price_mint, price_currency, nonce, reference,"
            " settlement_wallet, settlement_user_id, environment, fund_until, deadline)"
            " SELECT $1, $5, 'agent-c', 'provider', 'agent-p', $2, amount, mint, currency, nonce, reference,"
            " recipient, user_id, environment, expires_at, $4 FROM nonces WHERE nonce = $3 RETURNING id",
            service or await self.service(), payout_address or str(self.provider.pubkey()), nonce,
            now + dt.timedelta(seconds=job_seconds), client_user,
        )  # fmt: skip
        return Order(self, job, nonce, reference, price)

    async def send(self, instructions, signer: Keypair, *others: Keypair) -> str:
        blockhash = await self.call("getLatestBlockhash", {"commitment": "confirmed"})
        message = MessageV0.try_compile(
            signer.pubkey(), list(instructions), [], Hash.from_string(blockhash["value"]["blockhash"])
        )
        raw = base64.b64encode(bytes(VersionedTransaction(message, [signer, *others]))).decode()
        return await self.call("sendTransaction", raw, {"encoding": "base64", "preflightCommitment": "confirmed"})

    async def balance(self, owner: Pubkey, mint: Pubkey = USDC) -> int:
        """What `owner` has on its associated account, confirmed, in base units."""
        answer = await self.call(
            "getTokenAccountsByOwner",
            str(owner),
            {"mint": str(mint)},
            {"encoding": "base64", "commitment": "confirmed"},
        )
        return sum(
            int.from_bytes(base64.b64decode(item["account"]["data"][0])[64:72], "little") for item in answer["value"]
        )

    async def violations(self):
        return await check_invariants(self.pool)


async def lamports(shop, owner=None):
    """The SOL of the settlement wallet, or of `owner`, in lamports."""
    return (await shop.call("getBalance", str((owner or shop.wallet).pubkey()), {"commitment": "confirmed"}))["value"]


@dataclass
class Order:
    """A job that was ordered, and what its client and provider do with it."""

    shop: Shop
    id: uuid.UUID
    nonce: str
    reference: Pubkey
    price: int

    async def pay(self, amount: int | None = None, *, mint: Pubkey = USDC) -> str:
        payment = pay.checked(
            self.shop.client.pubkey(), self.shop.wallet.pubkey(), amount or self.price, self.reference, "job", mint=mint
        )
        return await self.shop.send(payment.instructions, self.shop.client)

    async def row(self):
        return await self.shop.pool.fetchrow("SELECT * FROM job_requests WHERE id = $1", self.id)

    async def step(self, name: str, **details) -> bool:
        parties = {
            "accept": Party.PROVIDER, "start": Party.PROVIDER, "submit": Party.PROVIDER, "approve": Party.CLIENT,
            "dispute": Party.CLIENT,
            "cancel": Party.CLIENT, "release": Party.ADMIN, "refund": Party.ADMIN,
        }  # fmt: skip
        return await take_step(self.shop.pool, self.id, name, frozenset({parties[name]}), by="test", **details)

    async def until(self, escrow: str, status: str | None = None, seconds: float = 20.0):
        from tests.support.ledger_checks import eventually

        async def there():
            row = await self.row()
            return row if row["escrow_status"] == escrow and status in {None, row["status"]} else None

        return await eventually(there, seconds)
