"""`examples/x402_buyer.py` with the published `requests` client, which is a synchronous one.

`python requests_buyer.py KEYPAIR_FILE URL`; the environment is that of the example.
"""

import base64
import json
import os
import sys
from pathlib import Path

from solders.keypair import Keypair
from x402 import x402ClientSync
from x402.http.clients import x402_requests
from x402.mechanisms.svm.exact.register import register_exact_svm_client
from x402.mechanisms.svm.signers import KeypairSigner


def buy(keypair, url):
    wallet = register_exact_svm_client(x402ClientSync(), KeypairSigner(keypair), rpc_url=os.environ["SOLANA_RPC_URL"])
    answer = x402_requests(wallet).get(url, timeout=60)
    receipt = answer.headers.get("PAYMENT-RESPONSE") or answer.headers.get("X-PAYMENT-RESPONSE") or ""
    settlement = json.loads(base64.b64decode(receipt) or "null")
    print(json.dumps({"status": answer.status_code, "body": answer.json(), "settlement": settlement}))


if __name__ == "__main__":
    buy(Keypair.from_json(Path(sys.argv[1]).read_text()), sys.argv[2])
