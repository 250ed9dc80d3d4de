"""Buys one API call: pays a shop 0.01 USDC on the localnet and prints the proof that the shop verifies.

`python examples/buyer.py SHOP_WALLET > proof.json`; SOLANA_RPC_URL names the node, unless it is that of `pay402 up`.
"""

import asyncio
import json
import os
import secrets
import sys
import time

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed
from solana.rpc.jsonrpc import JsonRpcRequest
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from spl.token.constants import TOKEN_PROGRAM_ID
from spl.token.instructions import create_idempotent_associated_token_account as open_account
from spl.token.instructions import get_associated_token_address, transfer_checked
from spl.token.models import TransferCheckedParams

USDC = Pubkey.from_string("4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU")  # on the localnet, as on devnet
DECIMALS, PRICE_BASE_UNITS = 6, 10_000


async def pay(node: AsyncClient, buyer: Keypair, shop: Pubkey) -> str:
    """Send PRICE_BASE_UNITS of USDC to the shop; return the transaction's signature once it is confirmed."""
    source, destination = (get_associated_token_address(owner, USDC) for owner in (buyer.pubkey(), shop))
    transfer = TransferCheckedParams(
        program_id=TOKEN_PROGRAM_ID, source=source, mint=USDC, dest=destination, owner=buyer.pubkey(),
        amount=PRICE_BASE_UNITS, decimals=DECIMALS,
    )  # fmt: skip
    instructions = [open_account(buyer.pubkey(), shop, USDC), transfer_checked(transfer)]
    latest = (await node.get_latest_blockhash()).value
    message = MessageV0.try_compile(buyer.pubkey(), instructions, [], latest.blockhash)
    sent = await node.send_transaction(VersionedTransaction(message, [buyer]))
    await node.confirm_transaction(sent.value, last_valid_block_height=latest.last_valid_block_height)
    return str(sent.value)


async def main(shop: Pubkey) -> None:
    """Make a buyer with money, pay, and print the proof as JSON."""
    buyer, nonce = Keypair(), secrets.token_hex(16)
    async with AsyncClient(os.environ.get("SOLANA_RPC_URL", "http://127.0.0.1:8899"), Confirmed) as node:
        await node.request_airdrop(buyer.pubkey(), lamports=1_000_000_000)
        faucet = JsonRpcRequest(method="localnet_fundToken", params=[str(buyer.pubkey()), str(USDC), PRICE_BASE_UNITS])
        await node.send_rpc_request(faucet, str)
        transaction = await pay(node, buyer, shop)
    signature = buyer.sign_message(f"402pay v2|{shop}|{nonce}|{transaction}".encode())  # good for this payment only
    proof = {"proofVersion": 2, "transactionId": transaction, "payer": str(buyer.pubkey()), "recipient": str(shop)}
    proof |= {"amount": "0.01", "currency": "USDC", "nonce": nonce, "signature": str(signature)}
    print(json.dumps({**proof, "timestamp": int(time.time() * 1000)}))


if __name__ == "__main__":
    asyncio.run(main(Pubkey.from_string(sys.argv[1])))
