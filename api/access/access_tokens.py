"""Access tokens: JSON Web Tokens of a few minutes, signed by this API for this API."""

import secrets
import time
from dataclasses import dataclass
from typing import Final

import jwt

TOKEN_SECONDS_MAX: Final = 15 * 60
# What HMAC-SHA256 takes as it is; see `signing_key`.
_KEY_CHARACTERS: Final = 32
_ALGORITHM: Final = "HS256"
_AUDIENCE: Final = "402pay"


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a good token says: whose it is, the prefix of the key that it was made with, and what it may do."""

    user_id: str
    key_prefix: str
    permissions: frozenset[str]


class AccessTokens:
    """Makes and reads tokens. Without a secret this process makes its own, and its tokens end with it."""

    def __init__(self, secret: str | None) -> None:
        self._signing_key = signing_key(secret)

    def make(self, claims: TokenClaims, seconds: int) -> tuple[str, int]:
        """A token that is good for `seconds`, and when it expires in seconds since 1970."""
        now = int(time.time())
        content = {
            "sub": claims.user_id,
            "aud": _AUDIENCE,
            "iat": now,
            "exp": now + seconds,
            "key": claims.key_prefix,
            "permissions": sorted(claims.permissions),
        }
        return jwt.encode(content, self._signing_key, algorithm=_ALGORITHM), now + seconds

    def read(self, token: str) -> TokenClaims | None:
        """What a token says, or `None` when it was not signed here, is for another use, or has expired."""
        try:
            content = jwt.decode(
                token,
                self._signing_key,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                options={"require": ["exp", "sub", "aud", "iat"]},
            )
        except (jwt.PyJWTError, ValueError):
            return None
        return TokenClaims(content["sub"], str(content.get("key")), frozenset(content.get("permissions", ())))


def signing_key(secret: str | None) -> str:
    """What signs tokens: `secret`, or 256 random bits where none is set.

    A secret that is short, which production refuses, is filled up with zeros as HMAC does itself: it signs the same,
    and the library need not warn of each token.
    """
    return secrets.token_hex(32) if secret is None else secret.ljust(_KEY_CHARACTERS, "\0")
