"""The older system's routes of escrow, which took clients' secret keys: each is answered with 410."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access.callers import count_request
from api.http.errors import ApiError

# Nothing of such a request is read or kept: its body may hold a secret key.
router = APIRouter(include_in_schema=False)

_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_GONE: Final = (
    "Escrow of the older system is gone, because it sent a wallet's secret key to the server: treat every key that was "
    "ever sent to /escrow as stolen, move what its wallet holds to a new wallet at once, and order a job with "
    "POST /marketplace/jobs instead, which holds the price and never asks for a secret key; docs/migration.md says how."
)


@router.api_route("/escrow", methods=_METHODS)
@router.api_route("/escrow/{call:path}", methods=_METHODS)
async def escrow(request: Request) -> Response:
    """Say that escrow is gone, why, and what to do instead."""
    await count_request(request, None)
    raise ApiError(410, "GONE", _GONE, {"instead": "POST /marketplace/jobs"})
