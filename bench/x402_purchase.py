"""Whole purchases over x402: the published client buys from the published middleware, through a facilitator."""

import asyncio
import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec

from bench.x402_payments import X402Buyer

PUBLISHED_PYTHON: Final = Path(".venv-clients/bin/python")
"""The Python that has the published packages of x402."""
_SHOP: Final = "examples/x402_shop.py"
_BUYER: Final = "bench/x402_buyer.py"
_READY_SECONDS: Final = 30.0


async def purchase_seconds(facilitator_url: str, key: str, rpc_url: str, buyer: X402Buyer, count: int) -> list[float]:
    """What each of so many purchases took, one after the other, from the first request to the goods.

    Args:
        facilitator_url: Where the facilitator serves, without `/x402`.
        key: The shop's API key there.
        rpc_url: The node that the client builds its payments with.
        buyer: Who pays, and whom.
        count: How many purchases are measured; one more is made before.
    """
    port = _free_port()
    async with AsyncExitStack() as stack:
        shop = await asyncio.create_subprocess_exec(
            *(str(PUBLISHED_PYTHON), "-P", _SHOP, str(buyer.shop)),
            env={
                **os.environ,
                "PORT": str(port),
                "X402_FACILITATOR_URL": f"{facilitator_url}/x402",
                "X402_API_KEY": key,
            },
        )
        stack.push_async_callback(shop.wait)
        stack.callback(shop.terminate)
        await _listening(port)
        client = await asyncio.create_subprocess_exec(
            *(str(PUBLISHED_PYTHON), "-P", _BUYER, rpc_url, f"http://127.0.0.1:{port}/report", str(count)),
            env={**os.environ, "PAYER": str(buyer.payer)},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await client.communicate()
        if client.returncode != 0:
            raise SystemExit(f"error: a purchase through {facilitator_url} failed; its message stands above")
    return msgspec.json.decode(printed, type=list[float])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def _listening(port: int) -> None:
    async with asyncio.timeout(_READY_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return
