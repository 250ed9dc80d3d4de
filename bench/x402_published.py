"""The published Python facilitator of x402 behind HTTP, to be measured beside ours.

Run by the Python of `.venv-clients` as `x402_published.py RPC_URL`; the fee payer's secret in base58 comes by
FEE_PAYER. Prints one JSON line when it listens, and ends with SIGTERM.
"""

import json
import os
import socket
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from solders.keypair import Keypair
from x402 import x402FacilitatorSync
from x402.mechanisms.svm.exact import register_exact_svm_facilitator
from x402.mechanisms.svm.signers import FacilitatorKeypairSigner
from x402.schemas import PaymentPayload, PaymentRequirements

_NETWORK = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"


def serve(rpc_url: str, keypair: Keypair) -> None:
    """Serve its verdicts until SIGTERM. Its calls block, so each request has a thread, as FastAPI gives it."""
    signer = FacilitatorKeypairSigner(keypair, rpc_url)
    facilitator = register_exact_svm_facilitator(x402FacilitatorSync(), signer, _NETWORK)
    app = FastAPI()

    @app.post("/x402/verify")
    def verify(body: dict[str, Any]) -> Any:
        return facilitator.verify(*_terms(body)).model_dump(by_alias=True, exclude_none=True)

    @app.post("/x402/settle")
    def settle(body: dict[str, Any]) -> Any:
        return facilitator.settle(*_terms(body)).model_dump(by_alias=True, exclude_none=True)

    @app.get("/x402/supported")
    def supported() -> Any:
        return facilitator.get_supported().model_dump(by_alias=True, exclude_none=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(json.dumps({"api": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


def _terms(body: dict[str, Any]) -> tuple[PaymentPayload, PaymentRequirements]:
    payload = PaymentPayload.model_validate(body["paymentPayload"])
    return payload, PaymentRequirements.model_validate(body["paymentRequirements"])


if __name__ == "__main__":
    serve(sys.argv[1], Keypair.from_base58_string(os.environ["FEE_PAYER"]))
