"""Payers and recipients on a localnet, who pay in every way there is and remember what they meant."""

import asyncio
import base64
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from chain.programs import TOKEN_PROGRAMS
from chain.rpc import RpcPool
from localnet import payments as pay
from localnet.genesis import FEE_MINT
from localnet.payments import USDC, USDT, Payment

_LAMPORTS: Final = 100_000_000_000
_TOKENS: Final = 1_000_000_000_000
_WAIT_SECONDS: Final = 30.0

TransferKey = tuple[str, str, str, str, int]
"""Signature, mint, source, destination, base units credited."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A payment that was sent and landed."""

    signature: str
    payment: Payment


@dataclass(slots=True)
class Market:
    """Some payers with money, some recipients without, and all that was paid between them."""

    rpc: RpcPool
    payers: list[Keypair]
    recipients: list[Keypair]
    sent: list[Sent] = field(default_factory=list)
    _settled: set[str] = field(default_factory=set)
    _table_slot: int = 0
    _tables: dict[Pubkey, AddressLookupTableAccount] = field(default_factory=dict)
    _amounts: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1_000))

    @property
    def wallets(self) -> list[str]:
        """The recipients' addresses."""
        return [str(recipient.pubkey()) for recipient in self.recipients]

    def expected(self) -> Counter[TransferKey]:
        """Every transfer to a recipient that landed, as its payer meant it."""
        return Counter(
            (sent.signature, meant.mint, meant.source, meant.destination, meant.credited)
            for sent in self.sent
            for meant in sent.payment.meant
        )

    def kinds(self) -> Counter[str]:
        """How many payments of each kind were sent."""
        return Counter(sent.payment.kind for sent in self.sent)

    async def prepare(self) -> None:
        """Give the payers money, the recipients empty accounts, and build a lookup table of those."""
        for payer in self.payers:
            await self._call("requestAirdrop", [str(payer.pubkey()), _LAMPORTS])
            for mint in (USDC, USDT, FEE_MINT):
                await self._call("localnet_fundToken", [str(payer.pubkey()), str(mint), _TOKENS])
        for recipient in self.recipients:
            for mint in (USDC, FEE_MINT):
                await self._call("localnet_fundToken", [str(recipient.pubkey()), str(mint), 0])
            account = pay.token_account(recipient.pubkey(), USDC)
            self._tables[recipient.pubkey()] = await self._lookup_table(account)

    async def pay(self, payment: Payment, payer: Keypair) -> str:
        """Sign and send; returns the signature once the transaction is confirmed, failed or not."""
        blockhash = await self._call("getLatestBlockhash", [{"commitment": "confirmed"}])
        message = MessageV0.try_compile(
            payer.pubkey(),
            payment.instructions,
            list(payment.tables),
            Hash.from_string(blockhash["value"]["blockhash"]),
        )
        raw = bytes(VersionedTransaction(message, [payer, *payment.signers]))
        options = {
            "encoding": "base64",
            "skipPreflight": payment.must_fail,
            "preflightCommitment": "confirmed",
        }
        signature: str = await self._call("sendTransaction", [base64.b64encode(raw).decode(), options])
        self.sent.append(Sent(signature, payment))
        return signature

    async def begin_x402(self, buyer: Keypair, recipient: Pubkey, fee_payer: Pubkey) -> tuple[Payment, bytes]:
        """A payment over x402, and its transaction signed by a buyer who is given USDC for it and no SOL."""
        amount = next(self._amounts)
        await self._call("localnet_fundToken", [str(buyer.pubkey()), str(USDC), amount])
        payment = pay.over_x402(buyer.pubkey(), recipient, amount)
        blockhash = await self._call("getLatestBlockhash", [{"commitment": "confirmed"}])
        recent = Hash.from_string(blockhash["value"]["blockhash"])
        return payment, pay.signed_by_payer(payment, buyer, fee_payer, recent)

    def note_sent(self, signature: str, payment: Payment) -> None:
        """Remember a payment that somebody else has sent."""
        self.sent.append(Sent(signature, payment))

    def every_kind(self) -> Iterator[tuple[Payment, Keypair]]:
        """One payment of each kind, each with its payer; amounts never repeat."""
        payers = itertools.cycle(self.payers)
        first = self.recipients[next(self._amounts) % len(self.recipients)]
        everybody = [recipient.pubkey() for recipient in self.recipients]
        to, amounts = first.pubkey(), self._amounts

        def build(make: Callable[[Pubkey], Payment]) -> tuple[Payment, Keypair]:
            payer = next(payers)
            return make(payer.pubkey()), payer

        yield build(lambda payer: pay.plain(payer, to, next(amounts)))
        yield build(lambda payer: pay.checked(payer, to, next(amounts), Keypair().pubkey(), f"order {next(amounts)}"))
        yield build(lambda payer: pay.batched(payer, everybody, next(amounts)))
        payer = next(payers)
        yield pay.inner(payer, first, next(amounts)), payer
        yield build(lambda payer: pay.looked_up(payer, to, next(amounts), self._tables[to]))
        yield build(lambda payer: pay.with_fee(payer, to, next(amounts), stated=True))
        yield build(lambda payer: pay.with_fee(payer, to, next(amounts), stated=False))
        yield build(lambda payer: pay.wrapped_sol(payer, to, next(amounts)))
        yield build(lambda payer: pay.native_sol(payer, to, 1_000_000 + next(amounts)))
        yield build(lambda payer: pay.several(payer, everybody, next(amounts)))
        yield build(lambda payer: pay.new_account(payer, to, next(amounts)))
        yield build(lambda payer: pay.failing(payer, to, next(amounts)))

    async def cut_sockets(self) -> None:
        """Close every PubSub connection of the localnet."""
        await self._call("localnet_closeSockets", [])

    async def settled(self) -> None:
        """Return when every sent transaction is confirmed as meant.

        Raises:
            RuntimeError: One failed that should not have, or the other way round, or never landed.
        """
        waiting = [sent for sent in self.sent if sent.signature not in self._settled]
        async with asyncio.timeout(_WAIT_SECONDS):
            while waiting:
                batch = waiting[:256]
                answer = await self._call(
                    "getSignatureStatuses",
                    [[sent.signature for sent in batch], {"searchTransactionHistory": True}],
                )
                pending = []
                for sent, status in zip(batch, answer["value"], strict=True):
                    if status is None or status["confirmationStatus"] == "processed":
                        pending.append(sent)
                    elif (status["err"] is not None) != sent.payment.must_fail:
                        raise RuntimeError(f"{sent.payment.kind} {sent.signature}: {status['err']}")
                    else:
                        self._settled.add(sent.signature)
                waiting = pending + waiting[256:]
                if pending:
                    await asyncio.sleep(0.05)

    async def balances(self) -> dict[str, int]:
        """The balance on chain of every token account of the recipients, in base units."""
        found = {}
        for wallet in self.wallets:
            for program in TOKEN_PROGRAMS:
                answer = await self._call(
                    "getTokenAccountsByOwner",
                    [wallet, {"programId": program}, {"encoding": "base64", "commitment": "confirmed"}],
                )
                for item in answer["value"]:
                    data = base64.b64decode(item["account"]["data"][0])
                    found[item["pubkey"]] = int.from_bytes(data[64:72], "little")
        return found

    async def _lookup_table(self, account: Pubkey) -> AddressLookupTableAccount:
        authority = self.payers[0]
        # The table's address follows from its authority and this slot: one slot, one table.
        while (slot := await self._call("getSlot", [{"commitment": "confirmed"}])) <= self._table_slot:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        self._table_slot = slot
        instructions, table = pay.create_lookup_table(authority.pubkey(), slot, [account])
        await self.pay(Payment("lookup table made", instructions, []), authority)
        self.sent.pop()
        while await self._call("getSlot", [{"commitment": "processed"}]) <= slot + 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return table

    async def _call(self, method: str, params: list[Any]) -> Any:
        return await self.rpc.call(method, params, Any)


@asynccontextmanager
async def open_market(rpc_url: str, *, payers: int = 3, recipients: int = 3) -> AsyncIterator[Market]:
    """A market on the localnet at `rpc_url`, without money yet; its keys are the same each time."""
    async with RpcPool([rpc_url]) as rpc:
        yield Market(
            rpc,
            payers=[Keypair.from_seed(bytes([20 + n]) * 32) for n in range(payers)],
            recipients=[Keypair.from_seed(bytes([10 + n]) * 32) for n in range(recipients)],
        )
