"""POST /auth/token: a short-lived token instead of a key, for browsers and other places where keys do not belong."""

from typing import Literal

from pydantic import Field
from starlette.responses import Response

from api.access.access_tokens import TOKEN_SECONDS_MAX, TokenClaims
from api.access.callers import AnyCaller
from api.http.errors import errors, forbidden
from api.http.fields import EpochMs
from api.http.json import AnswerShape, Shape, answer
from api.keys.context import Keys
from api.routing.idempotency import SECRET_HEADERS
from api.routing.route import new_router

router = new_router(prefix="/auth", tags=["Keys"])


class TokenOrder(Shape):
    """What the token may do; everything that its key may, unless less is asked for."""

    permissions: list[Literal["read", "write", "admin"]] | None = Field(None, min_length=1, max_length=3)
    expires_in: int = Field(TOKEN_SECONDS_MAX, ge=1, le=TOKEN_SECONDS_MAX, description="Seconds")


class TokenBody(AnswerShape):
    """An access token, to be sent as Bearer."""

    token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the scheme of its header, no password
    permissions: list[str]
    expires_in: int = Field(description="Seconds")
    expires_at: EpochMs


@router.post("/token", response_model=TokenBody, responses=errors(401, 403))
async def post_token(context: Keys, caller: AnyCaller, order: TokenOrder | None = None) -> Response:
    """Exchange an API key for an access token.

    It is good for 15 minutes at most, with no more than the key's permissions.
    """
    if caller.by_token:
        raise forbidden("An access token cannot be exchanged for a newer one; send the API key.")
    order = order or TokenOrder()
    wanted = frozenset(order.permissions or caller.permissions)
    if not caller.may_hand_out(wanted):
        raise forbidden("A token cannot have permissions that its key lacks; ask for fewer.")
    token, expires_at_seconds = context.tokens.make(
        TokenClaims(caller.user_id, caller.key_prefix, wanted), order.expires_in
    )
    body = TokenBody(
        token=token,
        permissions=sorted(wanted),
        expires_in=order.expires_in,
        expires_at=expires_at_seconds * 1000,
    )
    return answer(body, headers=SECRET_HEADERS)
