"""The protocol's extension `payment-identifier`: a caller's own id for a payment, bound to its exact payload."""

import hashlib
import re
from typing import Any, Final

import msgspec

from api.http.errors import invalid
from api.x402.bodies import FacilitatorBody

EXTENSION: Final = "payment-identifier"
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]{16,128}", re.ASCII)


def payment_identifier(body: FacilitatorBody) -> str | None:
    """The identifier that a request carries, if any.

    Raises:
        ApiError: 400, it is required and missing, or malformed.
    """
    extensions = body.payment_payload.get("extensions")
    declared = extensions.get(EXTENSION) if isinstance(extensions, dict) else None
    info = declared.get("info") if isinstance(declared, dict) else None
    if not isinstance(info, dict):
        return None
    identifier = info.get("id")
    if identifier is None:
        if info.get("required") is True:
            raise invalid(f"The extension {EXTENSION} is required and has no id; send one.", {"field": "id"})
        return None
    if not isinstance(identifier, str) or _IDENTIFIER.fullmatch(identifier) is None:
        raise invalid(
            f"The id of the extension {EXTENSION} must be 16 to 128 of A-Z, a-z, 0-9, _ and -; correct it.",
            {"field": "id"},
        )
    return identifier


def payload_hash(body: FacilitatorBody) -> bytes:
    """SHA-256 of what is asked: the payment and what it has to be, in whatever order its fields stand."""
    asked: list[Any] = [body.x402_version, body.payment_payload, body.payment_requirements]
    return hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).digest()
