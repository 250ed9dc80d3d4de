"""Those who are no customers: thieves with old proofs, payers of dust and of nothing, a lying node, spam accounts.

Each is a method of Strangers, named in STRANGERS; a scenario may leave some out. They act through the market, so that
what they really pay is expected in the ledger like any other payment.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
from solders.keypair import Keypair

from localnet import payments as pay
from localnet.market import Market
from localnet.payments import USDC, Payment, token_account
from tests.support.api_client import Client, proof_of
from tests.support.job_shop import Shop
from tests.support.lying_node import LyingNode
from tests.support.wallets import close_account

# What each does, and how often in comparison.
STRANGERS = {"thief": 4, "dust": 2, "self_transfer": 2, "liar": 2, "spam": 1, "drainer": 2}
# Those that a round has unless it says otherwise.
USUAL = frozenset(STRANGERS)
_ACCOUNTS_A_SPAM = 3
_SPAM_MAX = 12
_PAUSE_SECONDS = 1.0
_PATIENCE_TRIES = 10
_PATIENCE_SECONDS = 0.5


@dataclass(repr=False)
class Strangers:
    """All of them, what they hold, and what the API has answered them."""

    dice: random.Random
    market: Market
    # Proofs that payers have shown to somebody, by nonce: whoever saw one can copy it.
    seen: dict[str, dict]
    # The API, which has another address after each restart; a key of the thief's own shop, and the merchant's.
    api_url: Callable[[], str]
    http: aiohttp.ClientSession
    rival_key: str
    merchant_key: str
    liar_node: LyingNode | None
    shop: Shop | None
    switched_on: frozenset[str] = USUAL
    acts: Counter = field(default_factory=Counter)
    answers: Counter = field(default_factory=Counter)
    won: list[str] = field(default_factory=list)
    _spam: int = 0
    _undecided: list[tuple[str | None, dict, str]] = field(default_factory=list)
    _asking: set[asyncio.Task] = field(default_factory=set)

    async def go_on(self, seconds: float) -> None:
        """Act every second for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await self.act()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def act(self) -> None:
        """Let one of those that are switched on do what it does."""
        names = [name for name in STRANGERS if name in self.switched_on and self._can(name)]
        if not names:
            return
        (name,) = self.dice.choices(names, [STRANGERS[name] for name in names])
        # A fork may have taken the stranger's money or accounts away: then nothing happens.
        with contextlib.suppress(Exception):
            await getattr(self, name)()
            self.acts[name] += 1

    def _can(self, name: str) -> bool:
        return {"liar": self.liar_node, "drainer": self.shop}.get(name, True) is not None

    async def give_up(self, landed: set[str]) -> None:
        """Ask once more for every payment that is on the chain and undecided, now that the ledger has them all."""
        if self._asking:
            await asyncio.wait(self._asking)
        undecided, self._undecided = self._undecided, []
        asked = [one for one in undecided if one[1]["transactionId"] in landed]
        await asyncio.gather(*(self._ask(*one, tries=_PATIENCE_TRIES) for one in asked))

    async def thief(self) -> None:
        """Present what a payer has signed once for a payment of his that nobody has claimed.

        The thief keeps a shop, so payers show him proofs; others he has copied from proofs that were shown elsewhere.
        """
        payer, recipient = self.dice.choice(self.market.payers), self._recipient()
        shown_to_him = proof_of(payer, self.market.sent[-1].signature, "0.0001")
        copied = [one for one in self.seen.values() if one["payer"] == str(payer.pubkey())]
        real = pay.plain(payer.pubkey(), recipient.pubkey(), self.dice.randint(1000, 9999))
        unclaimed = await self.market.pay(real, payer)
        for proof in (shown_to_him, *copied[-1:]):
            stolen = {**proof, "transactionId": unclaimed, "recipient": str(recipient.pubkey()), "amount": "0.000001"}
            for key in (None, self.rival_key):
                self._present(key, stolen, "a thief")

    async def dust(self) -> None:
        """Pay one base unit, and claim much more for it."""
        payer = self.dice.choice(self.market.payers)
        signature = await self.market.pay(pay.plain(payer.pubkey(), self._recipient().pubkey(), 1), payer)
        self._present(self.merchant_key, proof_of(payer, signature, "1"), "a payer of dust")

    async def self_transfer(self) -> None:
        """Move a merchant's tokens from an account onto itself, and claim that as a payment."""
        payer, merchant = self.dice.choice(self.market.payers), self._recipient()
        amount = self.dice.randint(1, 1000)
        moved = pay.plain(merchant.pubkey(), merchant.pubkey(), amount)
        payment = Payment("self-transfer", moved.instructions, moved.meant, signers=[merchant])
        signature = await self.market.pay(payment, payer)
        self._present(self.merchant_key, proof_of(merchant, signature, f"0.{amount:06}"), "a payer of nothing")

    async def liar(self) -> None:
        """Claim a payment that only one node knows, for it has made it up."""
        assert self.liar_node is not None
        payer, recipient = self.dice.choice(self.market.payers), self._recipient()
        model = await self.market.pay(
            pay.plain(payer.pubkey(), recipient.pubkey(), self.dice.randint(1000, 9999)), payer
        )
        invented = self.liar_node.invent(model)
        for _ in range(3):
            self._present(self.merchant_key, proof_of(payer, invented, "0.001"), "a liar")

    async def spam(self) -> None:
        """Open token accounts for a merchant who has asked for none."""
        payer, merchant = self.dice.choice(self.market.payers), self._recipient()
        if self._spam >= _SPAM_MAX:
            return
        self._spam += _ACCOUNTS_A_SPAM
        for _ in range(_ACCOUNTS_A_SPAM):
            payment = pay.hidden_account(payer.pubkey(), merchant.pubkey(), Keypair())
            await self.market.pay(payment, payer)

    async def drainer(self) -> None:
        """Name a job with one base unit from a throw-away owner, who closes his account: what goes back must not cost.

        Opening an account costs the settlement wallet some 2,000,000 lamports, which its closing gives to the owner.
        """
        assert self.shop is not None
        order, owner = await self.shop.order(), Keypair()
        await self.shop.call("requestAirdrop", str(owner.pubkey()), 10_000_000)
        await self.shop.call("localnet_fundToken", str(owner.pubkey()), str(USDC), 1)
        paid = pay.checked(owner.pubkey(), self.shop.wallet.pubkey(), 1, order.reference, "too little")
        closing = close_account(token_account(owner.pubkey(), USDC), owner.pubkey(), owner.pubkey())
        await self.market.pay(Payment("drain", [*paid.instructions, closing], paid.meant), owner)

    def _recipient(self) -> Keypair:
        return self.dice.choice(self.market.recipients)

    def _present(self, key: str | None, proof: dict, who: str) -> None:
        asking = asyncio.create_task(self._ask(key, proof, who, tries=2))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    async def _ask(self, key: str | None, proof: dict, who: str, *, tries: int) -> None:
        for _ in range(tries):
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                reply = await Client(self.api_url(), self.http, key).verify(proof)
                self.answers[who, reply.code] += 1
                if reply.code == "VALID" or (reply.status >= 500 and reply.status != 503):
                    self.won.append(f"{who} was answered {reply.status} {reply.code} to {proof}")
                if reply.code not in {"PAYMENT_PENDING", "UNAVAILABLE"}:
                    return
            await asyncio.sleep(_PATIENCE_SECONDS)
        self._undecided.append((key, proof, who))
