"""Payouts that are exported under a nonce account, signed elsewhere and voided, as an operator does it."""

import asyncio
import base64
import json
from dataclasses import asdict

from solders.keypair import Keypair
from solders.transaction import Transaction

from chain.lifetimes import latest_blockhash
from chain.nonces import NONCE_BYTES, creation
from chain.sending import rent_exempt_lamports
from tests.support.dying_worker import attempts
from worker.escrow import move_jobs_and_payouts
from worker.payouts.exports import export_payouts, import_payout, void_nonce
from worker.payouts.offline_signer import sign_exported, sign_void


async def open_nonce(shop, net, authority=None):
    """A nonce account that the settlement wallet can use; somebody else has paid for it."""
    account = Keypair()
    blockhash = (await latest_blockhash(shop.rpc)).blockhash
    rent = await rent_exempt_lamports(shop.rpc, NONCE_BYTES)
    owner = authority or shop.wallet.pubkey()
    message = creation(shop.client, account, str(owner), rent, blockhash)
    await send(shop, Transaction([shop.client, account], message, message.recent_blockhash))
    net.chain.tick(10)
    return str(account.pubkey())


async def send(shop, transaction):
    options = {"encoding": "base64", "preflightCommitment": "confirmed", "skipPreflight": True}
    return await shop.call("sendTransaction", base64.b64encode(bytes(transaction)).decode(), options)


async def exported(context, account):
    """The one payout that waits, exported under the nonce account."""
    await move_jobs_and_payouts(context)
    (one,) = await export_payouts(context, nonce_accounts=[account])
    return one


def signed(shop, one):
    line = json.dumps({name: value for name, value in asdict(one).items() if value is not None})
    return sign_exported(line, shop.wallet).transaction


async def void(context, shop, account):
    """Advance the nonce account, as an operator does."""
    wallet, transaction = await void_nonce(context, account)
    line = json.dumps({"void": account, "wallet": wallet, "transaction": transaction})
    return await import_payout(context, sign_void(line, shop.wallet).transaction)


async def outcomes(order):
    return [row["outcome"] for row in await attempts(order)]


async def passes(context, net, *, count=6):
    """Passes of the worker while the chain goes on and the indexer audits."""
    for _ in range(count):
        net.chain.tick(20)
        await move_jobs_and_payouts(context)
        await asyncio.sleep(0.3)
