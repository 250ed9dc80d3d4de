"""Sells an API call for 0.01 USDC over x402: a FastAPI shop with the published middleware, settled by 402pay.

`python examples/x402_shop.py SHOP_WALLET` in an environment with `x402[fastapi,svm]` and `uvicorn`. The wallet must be
registered with 402pay and hold an account for USDC. X402_FACILITATOR_URL names the facilitator, unless it is that of
`pay402 up`; X402_API_KEY is the shop's key there, which a public shop may leave out; PORT is where the shop listens.
"""

import os
import sys

import uvicorn
from fastapi import FastAPI
from x402.http import HTTPFacilitatorClient
from x402.http.middleware.fastapi import payment_middleware_from_config
from x402.mechanisms.svm.exact import ExactSvmServerScheme

NETWORK = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"  # devnet, and the localnet


def facilitator() -> HTTPFacilitatorClient:
    """The client of 402pay's facilitator, with the shop's API key if it has one."""
    url = os.environ.get("X402_FACILITATOR_URL", "http://127.0.0.1:3001/x402")
    key = os.environ.get("X402_API_KEY")
    headers = {"x-api-key": key} if key else {}
    every_call = {"verify": headers, "settle": headers, "supported": headers}
    return HTTPFacilitatorClient({"url": url, "create_headers": lambda: every_call})


def shop(wallet: str) -> FastAPI:
    """The shop: whoever calls GET /report pays `wallet` first."""
    app = FastAPI()
    price = {"scheme": "exact", "network": NETWORK, "payTo": wallet, "price": "$0.01"}
    selling = payment_middleware_from_config(
        {"GET /report": {"accepts": price, "description": "Today's report"}},
        facilitator(),
        [{"network": NETWORK, "server": ExactSvmServerScheme()}],
    )
    app.middleware("http")(selling)

    @app.get("/report")
    async def report() -> dict[str, str]:
        return {"report": "worth 0.01 USDC"}

    return app


if __name__ == "__main__":
    uvicorn.run(shop(sys.argv[1]), port=int(os.environ.get("PORT", "4021")), log_level="warning")
