"""Buys an API call over x402 with a wallet that holds USDC and no SOL, and prints what it got and how it was paid.

`python examples/x402_buyer.py KEYPAIR_FILE URL` in an environment with `x402[httpx,svm]`. SOLANA_RPC_URL names the node
that the payment is built with, unless it is that of `pay402 up`.
"""

import asyncio
import base64
import json
import os
import sys
from pathlib import Path

from solders.keypair import Keypair
from x402 import x402Client
from x402.http.clients import x402HttpxClient
from x402.mechanisms.svm.exact.register import register_exact_svm_client
from x402.mechanisms.svm.signers import KeypairSigner


async def buy(keypair: Keypair, url: str) -> None:
    """Ask for `url`, pay what it costs, and print the answer with the settlement."""
    node = os.environ.get("SOLANA_RPC_URL", "http://127.0.0.1:8899")
    wallet = register_exact_svm_client(x402Client(), KeypairSigner(keypair), rpc_url=node)
    async with x402HttpxClient(wallet, timeout=60) as http:
        answer = await http.get(url)
    receipt = answer.headers.get("PAYMENT-RESPONSE") or answer.headers.get("X-PAYMENT-RESPONSE") or ""
    settlement = json.loads(base64.b64decode(receipt) or "null")
    print(json.dumps({"status": answer.status_code, "body": answer.json(), "settlement": settlement}))


if __name__ == "__main__":
    asyncio.run(buy(Keypair.from_json(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2]))
