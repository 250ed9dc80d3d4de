"""Asks a facilitator what it supports, builds a payment of each version with the published client, and has it verified.

`python verify_payment.py KEYPAIR_FILE SHOP_WALLET` prints the verdicts by version; X402_FACILITATOR_URL names the
facilitator, SOLANA_RPC_URL the node.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from solders.keypair import Keypair
from x402 import x402Client
from x402.http import HTTPFacilitatorClient
from x402.mechanisms.svm.exact.register import register_exact_svm_client
from x402.mechanisms.svm.signers import KeypairSigner
from x402.schemas import PaymentRequired, PaymentRequiredV1, PaymentRequirements, PaymentRequirementsV1, ResourceInfo

USDC = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"
PRICE = "10000"


def required(kind, wallet):
    common = {"scheme": kind.scheme, "network": kind.network, "pay_to": wallet, "asset": USDC, "extra": kind.extra}
    url = "https://shop.example/report"
    if kind.x402_version == 1:
        one = PaymentRequirementsV1(max_amount_required=PRICE, resource=url, max_timeout_seconds=60, **common)
        return one, PaymentRequiredV1(accepts=[one])
    one = PaymentRequirements(amount=PRICE, max_timeout_seconds=60, **common)
    return one, PaymentRequired(accepts=[one], resource=ResourceInfo(url=url))


async def verify(keypair, wallet):
    facilitator = HTTPFacilitatorClient({"url": os.environ["X402_FACILITATOR_URL"]})
    client = register_exact_svm_client(x402Client(), KeypairSigner(keypair), rpc_url=os.environ["SOLANA_RPC_URL"])
    verdicts = {}
    for kind in facilitator.get_supported().kinds:
        requirements, asked = required(kind, wallet)
        payload = await client.create_payment_payload(asked)
        verdict = await facilitator.verify(payload, requirements)
        verdicts[kind.x402_version] = verdict.model_dump(exclude_none=True)
    print(json.dumps(verdicts))


if __name__ == "__main__":
    asyncio.run(verify(Keypair.from_json(Path(sys.argv[1]).read_text()), sys.argv[2]))
