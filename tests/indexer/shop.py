"""Merchants and payers on a localnet, and the question every test asks: does the ledger equal the chain?"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed
from solana.rpc.models import TxOpts
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from pay402.localnet.genesis import FEE_MINT
from pay402.localnet.payments import USDC, USDT, Meant, Payment
from pay402.runtime.settings import IndexerSettings
from pay402.runtime.sql import load_queries

FAST = {
    "METRICS_PORT": 0,
    "INDEXER_SILENCE_SECONDS": 2,
    "INDEXER_POLL_SECONDS": 1,
    "INDEXER_SCAN_SECONDS": 2,
    "INDEXER_PATIENCE_SECONDS": 3,
}


def fast_settings(**changes) -> IndexerSettings:
    return IndexerSettings(**{**FAST, **changes})


async def eventually(check, seconds=20.0, pause=0.02):
    """Wait until `check()` (may be async) gives something true; fail with its last answer."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {check}, last answer {found!r}")
        await asyncio.sleep(pause)


@dataclass
class Shop:
    """Two merchants, two payers with money, and every payment that landed."""

    client: AsyncClient
    merchants: list[Keypair]
    payers: list[Keypair]
    landed: list[tuple[str, Meant]] = field(default_factory=list)

    @classmethod
    async def open(cls, net, client: AsyncClient) -> "Shop":
        merchants = [Keypair.from_seed(bytes([n + 10]) * 32) for n in range(2)]
        payers = [Keypair.from_seed(bytes([n + 20]) * 32) for n in range(2)]
        faucet = net.chain.faucet
        for wallet in payers:
            faucet.fund_lamports(wallet.pubkey(), 100_000_000_000)
        for payer in payers:
            for mint in (USDC, USDT, FEE_MINT):
                faucet.fund_token(payer.pubkey(), mint, 1_000_000_000_000)
        for merchant in merchants:
            for mint in (USDC, FEE_MINT):
                faucet.fund_token(merchant.pubkey(), mint, 0)
        return cls(client, merchants, payers)

    async def pay(self, payment: Payment, payer: Keypair) -> str:
        """Sign, send; remembers what it meant unless it must fail."""
        blockhash = (await self.client.get_latest_blockhash(Confirmed)).value.blockhash
        message = MessageV0.try_compile(
            payer.pubkey(), payment.instructions, list(payment.tables), blockhash
        )
        transaction = VersionedTransaction(message, [payer, *payment.signers])
        options = TxOpts(skip_preflight=payment.must_fail, preflight_commitment=Confirmed)
        signature = str((await self.client.send_transaction(transaction, options)).value)
        self.landed += [(signature, meant) for meant in payment.meant]
        return signature

    def expected(self) -> Counter:
        return Counter((s, m.mint, m.source, m.destination, m.credited) for s, m in self.landed)


async def ledger_transfers(pool, merchants: list[Pubkey]) -> Counter:
    """Every transfer that the ledger credits to the merchants, as `Shop.expected` writes them."""
    rows = await pool.fetch(
        """
        SELECT signature, mint, source, destination, amount - fee AS credited
        FROM transfers
        WHERE destination_owner = ANY($1) AND source IS NOT NULL AND finality <> 'orphaned'
          AND kind IN ('transfer', 'transferChecked', 'transferCheckedWithFee', 'nativeTransfer')
        """,
        [str(m) for m in merchants],
    )
    return Counter((r["signature"], r["mint"], r["source"], r["destination"], r["credited"]) for r in rows)


async def ledger_equals_chain(pool, shop, wallets, seconds=20.0):
    """Wait until the ledger holds what was paid to `wallets`, transfer by transfer; fail with the difference."""
    deadline = time.monotonic() + seconds
    while True:
        chain, ledger = shop.expected(), await ledger_transfers(pool, wallets)
        if chain == ledger:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"missing {chain - ledger}, too many {ledger - chain}")
        await asyncio.sleep(0.02)


async def follow(pool, wallet: Pubkey, from_slot: int = 0) -> None:
    await load_queries("pay402.ledger", "recipients.sql").add_recipient(
        pool, address=str(wallet), user_id="merchant", label=None, followed_from_slot=from_slot
    )
