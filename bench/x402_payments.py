"""Payments over x402 as published clients build them, made in advance so that making them is not measured."""

import base64
import json
import secrets
from dataclasses import dataclass
from typing import Any, Final

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from spl.token import instructions as spl
from spl.token.models import TransferCheckedParams

from chain.programs import MEMO_PROGRAM, TOKEN_PROGRAM
from chain.rpc import RpcPool
from chain.sending import latest_blockhash
from localnet.payments import USDC

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
            "payload": {"transaction": base64.b64encode(self._transaction(blockhash)).decode()},
        }
        return {"x402Version": 2, "paymentPayload": payload, "paymentRequirements": requirements}

    def _transaction(self, blockhash: Hash) -> bytes:
        owner = self.payer.pubkey()
        transfer = TransferCheckedParams(
            program_id=Pubkey.from_string(TOKEN_PROGRAM),
            source=spl.get_associated_token_address(owner, USDC),
            mint=USDC,
            dest=spl.get_associated_token_address(self.shop, USDC),
            owner=owner,
            amount=AMOUNT,
            decimals=6,
        )
        instructions = [
            set_compute_unit_limit(_COMPUTE_UNITS),
            set_compute_unit_price(1),
            spl.transfer_checked(transfer),
            Instruction(Pubkey.from_string(MEMO_PROGRAM), secrets.token_hex(16).encode(), []),
        ]
        message = MessageV0.try_compile(self.fee_payer, instructions, [], blockhash)
        signature = self.payer.sign_message(to_bytes_versioned(message))
        return bytes(VersionedTransaction.populate(message, [Signature.default(), signature]))


def _request(path: str, body: dict[str, Any], key: str) -> bytes:
    raw = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nx-api-key: {key}\r\n"
        f"Content-Length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw
