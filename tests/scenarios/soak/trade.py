"""What goes on while parts are restarted: payments of every kind, verifications by HTTP, jobs ordered and paid out."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from localnet import payments as pay
from localnet.market import Market
from localnet.payments import USDC
from tests.support.api_client import Client, Reply, proof_of

_CERTAIN_SECONDS = 240.0
_RIVALS = 0.1
_REPLAYED = 0.3
JOB_PRICE = 250_000
_USDC = 1_000_000
# Every so many payments one of the other kinds, which nobody claims.
_EVERY_OTHER = 5
_WAIT_SECONDS = 1.0
# An answer that says to come again: our own 503, 409 while the first request of a key is under way, and "not yet".
_COME_AGAIN = {"UNAVAILABLE", "CONFLICT", "PAYMENT_PENDING"}


@dataclass(frozen=True)
class Answered:
    """One answer of the API; `at` is when it came, in Unix seconds."""

    at: float
    what: str
    status: int
    code: str | None
    seconds: float


@dataclass
class Books:
    """Everything that callers saw. `cut` are the times at which a connection failed."""

    answers: list[Answered] = field(default_factory=list)
    cut: list[float] = field(default_factory=list)

    async def ask(self, what: str, call) -> Reply | None:
        """The answer to `call()`, written down; None when the connection failed."""
        began = time.monotonic()
        try:
            reply = await call()
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.cut.append(time.time())
            return None
        code = reply.code if isinstance(reply.body, dict) else None
        self.answers.append(Answered(time.time(), what, reply.status, code, time.monotonic() - began))
        return reply


@dataclass
class Sale:
    """A payment and what its payer was told of it, by Idempotency-Key: VALID once, whatever happened meanwhile."""

    proof: dict
    reported: dict[str, str] = field(default_factory=dict)
    replays: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """True when it was honoured exactly once."""
        reported = Counter(self.reported.values())
        return (
            reported["VALID"] == 1
            and set(reported) <= {"VALID", "REPLAY_ATTACK"}
            and set(self.replays) <= {"REPLAY_ATTACK"}
        )


@dataclass
class Trade:
    """A merchant's sales and a marketplace's jobs. Everything random comes from `dice`."""

    market: Market
    merchant: Client
    client: Client
    provider: Client
    dice: random.Random
    rate: float
    job_seconds: float
    books: Books = field(default_factory=Books)
    sales: list[Sale] = field(default_factory=list)
    jobs: dict[str, str] = field(default_factory=dict)
    provider_wallet: Keypair = field(default_factory=Keypair)
    failed_to_pay: list[str] = field(default_factory=list)
    _tasks: set = field(default_factory=set)

    async def go_on(self, seconds: float) -> None:
        """Trade at a steady rate for so long, then finish what was begun."""
        began, count, jobs = time.monotonic(), 0, 0
        # The provider has an account: a payout this small would not pay for one.
        await self.market.rpc.call("localnet_fundToken", [str(self.provider_wallet.pubkey()), str(USDC), 0], Any)
        service = await self._offer()
        kinds = iter(())
        while (elapsed := time.monotonic() - began) < seconds:
            count += 1
            if count % _EVERY_OTHER:
                self._begin(self._sell(count))
            else:
                payment = next(kinds, None)
                if payment is None:
                    kinds = self.market.every_kind()
                    payment = next(kinds)
                self._begin(self._pay(*payment))
            # The last orders leave time for their steps.
            if elapsed >= jobs * self.job_seconds and elapsed < 0.8 * seconds:
                jobs += 1
                self._begin(self._job(service, jobs))
            await asyncio.sleep(max(began + count / self.rate - time.monotonic(), 0))
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def replay_all(self) -> None:
        """Present every proof once more, as a thief would: without the key that it was first presented with."""
        for start in range(0, len(self.sales), 16):
            await asyncio.gather(*(self._replay(sale) for sale in self.sales[start : start + 16]))

    def _begin(self, work) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pay(self, payment: pay.Payment, payer: Keypair) -> str | None:
        try:
            return await self.market.pay(payment, payer)
        except Exception as error:  # noqa: BLE001 - the node has no faults here: whatever it is belongs in the report
            self.failed_to_pay.append(f"{payment.kind}: {error!r}")
            return None

    async def _sell(self, number: int) -> None:
        dice, payer = self.dice, self.dice.choice(self.market.payers)
        shop = dice.choice(self.market.recipients).pubkey()
        has_rival, is_replayed, is_checked = dice.random() < _RIVALS, dice.random() < _REPLAYED, dice.random() < 0.5
        amount = 10_000 + number
        if is_checked:
            payment = pay.checked(payer.pubkey(), shop, amount, Keypair().pubkey(), f"sale {number}")
        else:
            payment = pay.plain(payer.pubkey(), shop, amount)
        if (signature := await self._pay(payment, payer)) is None:
            return
        figure = f"{amount // _USDC}.{amount % _USDC:06}"
        sale = Sale(proof_of(payer, signature, figure, nonce=f"sale {number}"))
        self.sales.append(sale)
        keys = [f"sale {number}", *([f"sale {number}, a rival"] if has_rival else [])]
        await asyncio.gather(*(self._verify(sale, key) for key in keys))
        if is_replayed:
            await self._replay(sale)

    async def _verify(self, sale: Sale, key: str) -> None:
        headers = {"Idempotency-Key": key}
        reply = await self._certain("verify", lambda: self.merchant.verify(sale.proof, headers=headers))
        sale.reported[key] = "NEVER" if reply is None else str(reply.code)

    async def _replay(self, sale: Sale) -> None:
        reply = await self._certain("replay", lambda: self.merchant.verify(sale.proof))
        sale.replays.append("NEVER" if reply is None else str(reply.code))

    async def _offer(self) -> str:
        offer = {
            "name": "Summaries", "description": "Three paragraphs.", "category": "ai", "pricingModel": "per-request",
            "priceAmount": f"0.{JOB_PRICE:06}", "priceCurrency": "USDC",
            "payoutAddress": str(self.provider_wallet.pubkey()),
        }  # fmt: skip
        reply = await self._certain("offer", lambda: self.provider.post("/marketplace/services", offer))
        return reply["id"]

    async def _job(self, service: str, number: int) -> None:
        headers = {"Idempotency-Key": f"order {number}"}
        order = {"serviceId": service, "input": {"text": "long"}}
        ordered = await self._certain("order", lambda: self.client.post("/marketplace/jobs", order, headers=headers))
        job = ordered["id"] if ordered is not None and ordered.status == 201 else f"order {number}"
        self.jobs[job] = "ordered" if ordered is not None else "never ordered"
        if ordered is None or ordered.status != 201:
            return
        asked = ordered["payment"]
        payer = self.dice.choice(self.market.payers)
        payment = pay.checked(payer.pubkey(), Pubkey.from_string(asked["recipient"]), int(asked["amountBaseUnits"]),
                              Pubkey.from_string(asked["reference"]), "job")  # fmt: skip
        await self._pay(payment, payer)
        deadline = time.monotonic() + _CERTAIN_SECONDS
        while time.monotonic() < deadline:
            shown = await self._certain("job", lambda: self.client.get(f"/marketplace/jobs/{job}"))
            if shown is None:
                return
            self.jobs[job] = f"{shown['status']}, {shown['escrowStatus']}"
            if shown["escrowStatus"] == "released":
                return
            await self._next_step(job, shown)
            await asyncio.sleep(_WAIT_SECONDS)

    async def _next_step(self, job: str, shown: Reply) -> None:
        """Whoever's turn it is takes it. A lost answer does no harm: the job is looked at again before the next."""
        steps = {
            ("pending", "escrowed"): (self.provider, "accept", None),
            ("accepted", "escrowed"): (self.provider, "submit", {"output": {"text": "short"}}),
            ("completed", "escrowed"): (self.client, "approve", None),
        }
        if step := steps.get((shown["status"], shown["escrowStatus"])):
            who, name, body = step
            await self.books.ask(name, lambda: who.post(f"/marketplace/jobs/{job}/{name}", body))

    async def _certain(self, what: str, call) -> Reply | None:
        """Ask until the answer is certain, as a patient client does; None when it never is."""
        deadline = time.monotonic() + _CERTAIN_SECONDS
        while time.monotonic() < deadline:
            reply = await self.books.ask(what, call)
            if reply is not None and reply.status < 500 and (what == "job" or reply.code not in _COME_AGAIN):
                return reply
            await asyncio.sleep(_WAIT_SECONDS / 2)
        return None
