"""Answers that hold a secret, kept so that only who was answered can read them again.

A new API key is shown once and kept nowhere but as a hash. Its maker may still repeat the request that made it, with
the same Idempotency-Key, when the answer was lost. So the kept answer is masked with a stream that follows from the
credential it was asked with, which is not kept either: whoever reads the table reads noise.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

_SALT_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Masked:
    """A masked body, with what undoes it for the right credential and shows that another is wrong."""

    body: bytes
    salt: str
    tag: str


def mask(body: bytes, credential: str) -> Masked:
    """Mask `body` for the holder of `credential`, which must be unguessable."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return Masked(_stream(body, credential, salt), salt.hex(), _tag(body, credential, salt))


def unmask(masked: Masked, credential: str) -> bytes | None:
    """The body again, or `None` for another credential."""
    salt = bytes.fromhex(masked.salt)
    body = _stream(masked.body, credential, salt)
    return body if hmac.compare_digest(_tag(body, credential, salt), masked.tag) else None


def _stream(body: bytes, credential: str, salt: bytes) -> bytes:
    """`body` and a stream that is used for it alone, bit by bit: SHAKE256 of a secret is as good as random."""
    stream = hashlib.shake_256(b"stream" + salt + credential.encode()).digest(len(body))
    return bytes(one ^ other for one, other in zip(body, stream, strict=True))


def _tag(body: bytes, credential: str, salt: bytes) -> str:
    return hmac.new(credential.encode(), b"tag" + salt + body, hashlib.sha256).hexdigest()
