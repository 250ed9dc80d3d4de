"""Who takes part in a payment over x402 on a localnet: a fee payer with SOL, a buyer with money alone, a seller."""

from dataclasses import dataclass, field
from typing import Any

from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chain.lifetimes import latest_blockhash
from chain.rpc import RpcPool
from tests.support.ledger_checks import follow
from tests.support.wallets import SOL, USD, USDC
from tests.support.x402_payments import Purchase


@dataclass
class X402Parties:
    """The parties of a payment; the buyer holds 1,000 USDC and no SOL."""

    rpc_url: str
    fee_payer: Keypair = field(default_factory=Keypair, repr=False)
    buyer: Keypair = field(default_factory=Keypair, repr=False)
    shop: Pubkey = field(default_factory=lambda: Keypair().pubkey())

    @property
    def settings(self):
        """What an API process is told of its fee payer."""
        return {"X402_FEE_PAYER_KEYPAIR": str(self.fee_payer)}

    async def call(self, method, *params) -> Any:
        """A call to the localnet."""
        async with RpcPool([self.rpc_url]) as rpc:
            return await rpc.call(method, list(params), Any)

    async def blockhash(self) -> Hash:
        """A recent blockhash."""
        async with RpcPool([self.rpc_url]) as rpc:
            return Hash.from_string((await latest_blockhash(rpc)).blockhash)

    async def fund(self, wallet, base_units, mint=USDC):
        """Give a wallet a token account and so much on it."""
        await self.call("localnet_fundToken", str(wallet), str(mint), base_units)

    async def purchase(self, **changes) -> Purchase:
        """A purchase as a published client makes it, with a recent blockhash and a memo of its own."""
        usual = {
            "fee_payer": self.fee_payer.pubkey(),
            "payer": self.buyer,
            "pay_to": self.shop,
            "blockhash": await self.blockhash(),
            "memo": str(Keypair().pubkey())[:32],
        }
        return Purchase(**{**usual, **changes})


async def open_parties(net, pool) -> X402Parties:
    """The parties on a localnet, the seller's wallet followed for the user `merchant`."""
    parties = X402Parties(net.rpc_url)
    await parties.call("requestAirdrop", str(parties.fee_payer.pubkey()), SOL)
    await parties.fund(parties.buyer.pubkey(), 1_000 * USD)
    await parties.fund(parties.shop, 0)
    await follow(pool, parties.shop)
    return parties


async def settled(client, purchase, version=2, **changes):
    """What a facilitator answers who is asked to settle a purchase."""
    reply = await client.post("/x402/settle", {**purchase.body(version), **changes})
    assert reply.status == 200, reply.text
    return reply.body
