"""Buyers in a separate process: they pay at a steady rate and present every payment to the API.

Run as `python -m bench.buyer RPC API KEY RATE SECONDS WHEN`, where WHEN is `confirmed` or `at-once`. It prints how many
payments were honoured, and the seconds that each answer took.
"""

import asyncio
import sys
import time
from typing import Any, Final

import aiohttp
import msgspec
from solders.keypair import Keypair

from localnet import payments as pay
from localnet.market import Market, open_market

PAYERS: Final = 3
RECIPIENTS: Final = 3
_ATTEMPTS: Final = 20
_POLL_SECONDS: Final = 0.1
_HONOURED: Final = 200


class Bought(msgspec.Struct):
    """What the buyers saw."""

    payments: int
    honoured: int
    requests: int
    latencies: list[float]


async def main(rpc: str, api: str, key: str, rate: float, seconds: float, when: str) -> Bought:
    """Buy for `seconds`; return when every payment is honoured or was given up."""
    bought = Bought(0, 0, 0, [])
    async with (
        open_market(rpc, payers=PAYERS, recipients=RECIPIENTS) as market,
        aiohttp.ClientSession(headers={"x-api-key": key}, connector=aiohttp.TCPConnector(limit=0)) as http,
        asyncio.TaskGroup() as group,
    ):
        began = time.monotonic()
        for number in range(int(rate * seconds)):
            group.create_task(_buy(market, http, f"{api}/verify", number, bought, is_patient=when == "confirmed"))
            await asyncio.sleep(max(began + (number + 1) / rate - time.monotonic(), 0))
    return bought


async def _buy(
    market: Market, http: aiohttp.ClientSession, url: str, number: int, bought: Bought, *, is_patient: bool
) -> None:
    payer: Keypair = market.payers[number % PAYERS]
    shop = market.recipients[number % RECIPIENTS].pubkey()
    # Each amount differs, because two equal payments in one block are one transaction.
    amount = 10_000 + number
    transaction = await market.pay(pay.plain(payer.pubkey(), shop, amount), payer)
    bought.payments += 1
    while is_patient and not await _is_confirmed(market, transaction):  # noqa: ASYNC110 - a node's buyers poll it
        await asyncio.sleep(_POLL_SECONDS)
    nonce = f"{time.time_ns()} {number}"
    proof = {
        "signature": str(payer.sign_message(nonce.encode())),
        "payer": str(payer.pubkey()),
        "amount": f"0.{amount:06}",
        "currency": "USDC",
        "nonce": nonce,
        "timestamp": int(time.time() * 1000),
        "transactionId": transaction,
    }
    for _ in range(_ATTEMPTS):
        began = time.monotonic()
        async with http.post(url, json=proof) as response:
            await response.read()
        bought.requests += 1
        bought.latencies.append(time.monotonic() - began)
        if response.status == _HONOURED:
            bought.honoured += 1
            return
        await asyncio.sleep(_POLL_SECONDS)


async def _is_confirmed(market: Market, transaction: str) -> bool:
    answer = await market.rpc.call("getSignatureStatuses", [[transaction]], Any)
    status = answer["value"][0]
    return status is not None and status["confirmationStatus"] != "processed"


if __name__ == "__main__":
    rpc, api, key, rate, seconds, when = sys.argv[1:]
    bought = asyncio.run(main(rpc, api, key, float(rate), float(seconds), when))
    sys.stdout.buffer.write(msgspec.json.encode(bought))
