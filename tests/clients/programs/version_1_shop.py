"""A shop that speaks version 1 of the protocol, which the published middlewares do no longer: its models and its
facilitator client are theirs.

`python version_1_shop.py SHOP_WALLET`; the environment is that of `examples/x402_shop.py`.
"""

import base64
import os
import sys

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from x402.http import HTTPFacilitatorClient
from x402.schemas import PaymentPayloadV1, PaymentRequiredV1, PaymentRequirementsV1

USDC = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"


def shop(wallet):
    app = FastAPI()
    facilitator = HTTPFacilitatorClient({"url": os.environ["X402_FACILITATOR_URL"]})
    kinds = facilitator.get_supported().kinds
    extra = next(kind.extra for kind in kinds if (kind.x402_version, kind.network) == (1, "solana-devnet"))
    required = PaymentRequirementsV1(
        scheme="exact", network="solana-devnet", max_amount_required="10000", resource="https://shop.example/report",
        description="Today's report", mime_type="application/json", pay_to=wallet, max_timeout_seconds=60, asset=USDC,
        extra=extra,
    )  # fmt: skip

    def unpaid(reason):
        body = PaymentRequiredV1(error=reason, accepts=[required])
        return JSONResponse(body.model_dump(by_alias=True, exclude_none=True), 402)

    @app.get("/report")
    async def report(request: Request):
        if (header := request.headers.get("x-payment")) is None:
            return unpaid("X-PAYMENT header is required")
        payload = PaymentPayloadV1.model_validate_json(base64.b64decode(header))
        verified = await facilitator.verify(payload, required)
        if not verified.is_valid:
            return unpaid(verified.invalid_reason)
        settled = await facilitator.settle(payload, required)
        if not settled.success:
            return unpaid(settled.error_reason)
        receipt = base64.b64encode(settled.model_dump_json(by_alias=True).encode()).decode()
        return JSONResponse({"report": "worth 0.01 USDC"}, headers={"X-PAYMENT-RESPONSE": receipt})

    return app


if __name__ == "__main__":
    uvicorn.run(shop(sys.argv[1]), port=int(os.environ["PORT"]), log_level="warning")
