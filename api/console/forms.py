"""Forms of pages: read within bounds, and taken only from a page of ours.

Every form carries a token that follows from a cookie of its browser, which no other page can read: the session's, or
before that one of the sign-in page's own. A browser that says of itself that another site sent the form is refused too.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import BaseModel, ValidationError

from api.http.errors import forbidden, invalid

TOKEN_FIELD: Final = "form_token"  # noqa: S105 - the name of a field, no password
_FIELDS_MAX: Final = 64
_BYTES_MAX: Final = 64_000
T = TypeVar("T", bound=BaseModel)
_OF_OURS: Final = frozenset({"same-origin", "none"})


def form_token(cookie: str) -> str:
    """The token of the forms of a browser that has this cookie; whoever sees the token does not learn the cookie."""
    return hmac.new(cookie.encode(), b"402pay console form", hashlib.sha256).hexdigest()


async def posted_form(request: Request, cookie: str | None) -> Mapping[str, str]:
    """The fields of a form by name, each without the spaces around it. Those that are empty are left out.

    Raises:
        ApiError: 400 for what is no form, 403 where another site sent it, or its page is older than the session.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in _OF_OURS:
        raise forbidden("Another site sent this form, and nothing was done; open the console itself.")
    body = await request.body()
    try:
        if len(body) > _BYTES_MAX:
            raise ValueError("it is too long")  # noqa: TRY301 - refused like every other fault of it
        pairs = parse_qsl(body.decode("ascii"), max_num_fields=_FIELDS_MAX, errors="strict", strict_parsing=True)
    except ValueError:
        raise invalid("The form cannot be read; load its page again.") from None
    # A browser ends lines as mail does.
    fields = {name: value.strip().replace("\r\n", "\n") for name, value in pairs if value.strip()}
    if len({name for name, _ in pairs}) < len(pairs) or any("\0" in value for value in fields.values()):
        raise invalid("The form cannot be read; load its page again.")
    if cookie is None or not hmac.compare_digest(fields.pop(TOKEN_FIELD, "").encode(), form_token(cookie).encode()):
        raise forbidden("This form is not from your session, and nothing was done; load its page again and repeat it.")
    return fields


def order_of(kind: type[T], filled: Mapping[str, Any]) -> T:
    """What a filled form orders, checked as the API checks it. Raises ApiError 400, with the first fault."""
    try:
        return kind.model_validate(filled)
    except ValidationError as error:
        first = error.errors()[0]
        raise invalid(f"{str(first['loc'][0]).capitalize()}: {first['msg']}; correct it.") from None
