"""`examples/x402_shop.py` with the published Flask middleware, which is a synchronous one.

`python flask_shop.py SHOP_WALLET`; the environment is that of the example.
"""

import os
import sys

from flask import Flask
from x402.http import HTTPFacilitatorClientSync
from x402.http.middleware.flask import payment_middleware_from_config
from x402.mechanisms.svm.exact import ExactSvmServerScheme

NETWORK = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"


def shop(wallet):
    app = Flask("shop")
    headers = {"x-api-key": os.environ["X402_API_KEY"]} if "X402_API_KEY" in os.environ else {}
    every_call = {"verify": headers, "settle": headers, "supported": headers}
    facilitator = HTTPFacilitatorClientSync(
        {"url": os.environ["X402_FACILITATOR_URL"], "create_headers": lambda: every_call}
    )
    price = {"scheme": "exact", "network": NETWORK, "payTo": wallet, "price": "$0.01"}
    payment_middleware_from_config(
        app,
        {"GET /report": {"accepts": price, "description": "Today's report"}},
        facilitator,
        [{"network": NETWORK, "server": ExactSvmServerScheme()}],
    )

    @app.get("/report")
    def report():
        return {"report": "worth 0.01 USDC"}

    return app


if __name__ == "__main__":
    shop(sys.argv[1]).run(port=int(os.environ["PORT"]))
