"""The demo's purchase over x402: a buyer without SOL, as a shop has it verified and settled."""

import base64
from typing import Any, Final

import aiohttp
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from cli.demo.claims import Answered
from localnet.market import Market
from localnet.payments import USDC, Payment

_ANSWER_SECONDS: Final = 40.0
_SETTLED: Final = "SETTLED"
_VALID: Final = "VALID"


async def buy_over_x402(api_url: str, market: Market) -> list[Answered]:
    """Buy something, and try to use the payment twice; the payment is one of the market's.

    The shop has no API key: whoever is paid is followed by the ledger.
    """
    shop = market.recipients[0].pubkey()
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    async with aiohttp.ClientSession(f"{api_url}/x402/", timeout=timeout) as session:
        kind = (await _answer(await session.get("supported")))["kinds"][0]
        fee_payer = Pubkey.from_string(kind["extra"]["feePayer"])
        payment, transaction = await market.begin_x402(Keypair(), shop, fee_payer)
        body = _body(kind, shop, payment, transaction)

        async def ask(path: str) -> dict[str, Any]:
            return await _answer(await session.post(path, json=body))

        verified = await ask("verify")
        settled = await ask("settle")
        if settled.get("success"):
            market.note_sent(settled["transaction"], payment)
        again = await ask("settle")
    return [
        Answered("by a wallet without SOL", payment.kind, _VALID, _code(verified, "isValid", "invalidReason", _VALID)),
        Answered("and settled", payment.kind, _SETTLED, _code(settled, "success", "errorReason", _SETTLED)),
        Answered(
            "the same payment again",
            payment.kind,
            "duplicate_settlement",
            _code(again, "success", "errorReason", _SETTLED),
        ),
    ]


async def _answer(response: aiohttp.ClientResponse) -> dict[str, Any]:
    async with response:
        answer: dict[str, Any] = await response.json()
    return answer


def _code(answer: dict[str, Any], flag: str, reason: str, good: str) -> str:
    return good if answer.get(flag) is True else str(answer.get(reason))


def _body(kind: dict[str, Any], shop: Pubkey, payment: Payment, transaction: bytes) -> dict[str, Any]:
    """What a shop sends of a payment that it was shown."""
    required = {
        "scheme": kind["scheme"],
        "network": kind["network"],
        "asset": str(USDC),
        "amount": str(payment.meant[0].credited),
        "payTo": str(shop),
        "maxTimeoutSeconds": 60,
        "extra": kind["extra"],
    }
    payload = {"transaction": base64.b64encode(transaction).decode("ascii")}
    return {
        "x402Version": kind["x402Version"],
        "paymentPayload": {"x402Version": kind["x402Version"], "accepted": required, "payload": payload},
        "paymentRequirements": required,
    }
