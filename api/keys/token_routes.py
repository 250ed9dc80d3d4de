"""POST /auth/token: a short-lived token instead of a key, for browsers and other places where keys do not belong."""

from typing import Annotated, Literal

from fastapi import Depends, Request
from pydantic import Field
from starlette.responses import Response

from api.access.callers import TOKEN_SECONDS, any_caller, make_token
from api.access.key_ring import Caller
from api.http.errors import errors, forbidden
from api.http.fields import EpochMs
from api.http.json import Shape, answer
from api.resources import resources
from api.routing.idempotency import SECRET_HEADERS
from api.routing.route import new_router

router = new_router(prefix="/auth", tags=["Keys"])


class TokenOrder(Shape):
    """What the token may do; everything that its key may, unless less is asked for."""

    permissions: list[Literal["read", "write", "admin"]] | None = Field(None, min_length=1, max_length=3)
    expires_in: int = Field(TOKEN_SECONDS, ge=1, le=TOKEN_SECONDS, description="Seconds")


class TokenBody(Shape):
    """An access token, to be sent as Bearer."""

    token: str
    token_type: Literal["Bearer"]
    permissions: list[str]
    expires_in: int = Field(description="Seconds")
    expires_at: EpochMs


@router.post("/token", response_model=TokenBody, responses=errors(401, 403))
async def post_token(
    request: Request, caller: Annotated[Caller, Depends(any_caller)], order: TokenOrder | None = None
) -> Response:
    """Exchange an API key for an access token of at most 15 minutes, with no more than its permissions."""
    if caller.by_token:
        raise forbidden("An access token cannot be exchanged for a newer one; send the API key.")
    order = order or TokenOrder()
    wanted = frozenset(order.permissions or caller.permissions)
    if not caller.is_admin and not wanted <= caller.permissions:
        raise forbidden("A token cannot have permissions that its key lacks; ask for fewer.")
    token, expires_at = make_token(resources(request).signing_key, caller, wanted, order.expires_in)
    return answer(
        {
            "token": token,
            "tokenType": "Bearer",
            "permissions": sorted(wanted),
            "expiresIn": order.expires_in,
            "expiresAt": expires_at * 1000,
        },
        headers=SECRET_HEADERS,
    )
