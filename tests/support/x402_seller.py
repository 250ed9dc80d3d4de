"""A seller over x402 whose buyer has signed, for the tests of the worker; sign, and ask what became of it."""

import hashlib

import pytest
from solders.keypair import Keypair
from solders.message import to_bytes_versioned
from solders.transaction import VersionedTransaction

from ledger import settlements
from ledger.settlements import FeeBudgets, SignedPayment, reserve
from tests.support.ledger_checks import follow
from tests.support.wallets import SOL, USDC, token_account
from tests.support.x402_payments import DEVNET, Purchase

AMOUNT = 10_000
AMPLE = FeeBudgets(10**12, 10**12, 10**12)


class Shop:
    """A seller whose wallet is followed, a buyer with money for `payments` and no SOL, and a fee payer."""

    def __init__(self, pool, net):
        self.pool, self.net = pool, net
        self.seller, self.buyer, self.fee_payer = Keypair(), Keypair(), Keypair()

    async def prepare(self, payments=10):
        faucet = self.net.chain.faucet
        faucet.fund_lamports(self.fee_payer.pubkey(), SOL)
        faucet.fund_token(self.buyer.pubkey(), USDC, payments * AMOUNT)
        faucet.fund_token(self.seller.pubkey(), USDC, 0)
        self.net.chain.tick(2)
        await follow(self.pool, self.seller.pubkey())

    def purchase(self, **changes):
        blockhash = self.net.chain.blocks[-1].hash
        return Purchase(
            self.fee_payer.pubkey(), self.buyer, self.seller.pubkey(), AMOUNT, blockhash=blockhash, **changes
        )

    async def sign(self, **changes):
        """A payment that was stored, by a process that died before it sent it."""
        purchase = self.purchase(**changes)
        partly = purchase.transaction()
        text = to_bytes_versioned(partly.message)
        signature = self.fee_payer.sign_message(text)
        payment = SignedPayment(
            message_hash=hashlib.sha256(text).digest(),
            user_id="merchant",
            environment="live",
            protocol_version=2,
            network=DEVNET,
            payer=str(self.buyer.pubkey()),
            fee_payer=str(self.fee_payer.pubkey()),
            pay_to=str(self.seller.pubkey()),
            mint=str(USDC),
            destination=str(token_account(self.seller.pubkey(), USDC)),
            amount=AMOUNT,
            memo=purchase.memo,
            required_memo=purchase.memo,
            resource=None,
            final_only=False,
            signature=str(signature),
            wire=bytes(VersionedTransaction.populate(partly.message, [signature, *partly.signatures[1:]])),
            last_valid_block_height=self.net.chain.blocks[-1].height + 150,
            payment_identifier=None,
            payload_hash=hashlib.sha256(text).digest(),
            lamports=10_001,
        )
        found = await reserve(self.pool, payment, AMPLE)
        assert found is not None
        return found.id

    async def status(self, found):
        return (await settlements.find_by_id(self.pool, found)).status

    async def make_older(self):
        await self.pool.execute("UPDATE settlements SET created_at = created_at - interval '1 minute'")

    def received(self):
        return self.net.chain.true_token_balance(token_account(self.seller.pubkey(), USDC)) or 0


@pytest.fixture
async def seller(net, pool):
    opened = Shop(pool, net)
    await opened.prepare()
    return opened
