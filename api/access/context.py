"""How callers are known and their requests counted, as every room above uses it."""

from dataclasses import dataclass

from fastapi import Request

from api.access.access_tokens import AccessTokens
from api.access.key_ring import KeyRing
from api.access.rate_limits import RateLimits
from api.access.sessions import Sessions


@dataclass(frozen=True, slots=True)
class AccessContext:
    """What `api.access.callers` works with.

    Attributes:
        environment: `development`, `test` or `production`.
        public_limit: Requests a minute of one client address; 0 sets no limit.
        key_limit: Requests a minute of one key.
        verify_limit: Verifications a minute of one key or client address.
    """

    keys: KeyRing
    tokens: AccessTokens
    sessions: Sessions
    rates: RateLimits
    environment: str
    public_limit: int
    key_limit: int
    verify_limit: int


def access_context(request: Request) -> AccessContext:
    """The context of the process that serves `request`."""
    context: AccessContext = request.app.state.access
    return context
