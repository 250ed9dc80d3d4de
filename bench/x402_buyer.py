"""Buys an API call again and again with the published client of x402; prints the seconds of each as one JSON line.

Run by the Python of `.venv-clients` as `x402_buyer.py RPC_URL SHOP_URL COUNT`; the payer's secret in base58 comes by
PAYER. The first purchase opens connections, and is not printed.
"""

import asyncio
import json
import os
import sys
import time

from solders.keypair import Keypair
from x402 import x402Client
from x402.http.clients import x402HttpxClient
from x402.mechanisms.svm.exact.register import register_exact_svm_client
from x402.mechanisms.svm.signers import KeypairSigner


async def buy(rpc_url: str, shop_url: str, count: int) -> None:
    """Buy one after the other."""
    payer = KeypairSigner(Keypair.from_base58_string(os.environ["PAYER"]))
    wallet = register_exact_svm_client(x402Client(), payer, rpc_url=rpc_url)
    taken = []
    async with x402HttpxClient(wallet, timeout=60) as http:
        for _ in range(count + 1):
            began = time.perf_counter()
            answer = await http.get(shop_url)
            taken.append(time.perf_counter() - began)
            answer.raise_for_status()
    print(json.dumps(taken[1:]))


if __name__ == "__main__":
    asyncio.run(buy(sys.argv[1], sys.argv[2], int(sys.argv[3])))
