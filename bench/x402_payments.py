"""Payments over x402 as published clients build them, made in advance so that making them is not measured."""

import base64
import json
from dataclasses import dataclass
from typing import Any, Final

from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chain.lifetimes import latest_blockhash
from chain.rpc import RpcPool
from localnet.payments import USDC, over_x402, signed_by_payer

AMOUNT: Final = 10_000
_NETWORK: Final = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"
_COMPUTE_UNITS: Final = 20_000


@dataclass(frozen=True, slots=True)
class X402Buyer:
    """Who pays, whom, and at whose fee."""

    payer: Keypair
    shop: Pubkey
    fee_payer: Pubkey

    async def requests(self, node: RpcPool, path: str, count: int, key: str) -> list[bytes]:
        """So many whole HTTP requests, each with another payment that can land for a minute."""
        blockhash = Hash.from_string((await latest_blockhash(node)).blockhash)
        return [_request(path, self._body(blockhash), key) for _ in range(count)]

    def _body(self, blockhash: Hash) -> dict[str, Any]:
        payment = over_x402(self.payer.pubkey(), self.shop, AMOUNT)
        wire = signed_by_payer(payment, self.payer, self.fee_payer, blockhash)
        requirements = {
            "scheme": "exact",
            "network": _NETWORK,
            "asset": str(USDC),
            "amount": str(AMOUNT),
            "payTo": str(self.shop),
            "maxTimeoutSeconds": 60,
            "extra": {"feePayer": str(self.fee_payer)},
        }
        payload = {
            "x402Version": 2,
            "accepted": requirements,
            "payload": {"transaction": base64.b64encode(wire).decode()},
        }
        return {"x402Version": 2, "paymentPayload": payload, "paymentRequirements": requirements}


def _request(path: str, body: dict[str, Any], key: str) -> bytes:
    raw = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nx-api-key: {key}\r\n"
        f"Content-Length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw
