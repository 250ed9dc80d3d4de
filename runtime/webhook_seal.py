"""Seals what webhooks are signed with, so that a copy of the database signs nothing.

AES-256-GCM under a key that follows from WEBHOOK_KEY. What is sealed is bound to its webhook: moved to another's row,
it opens no more. Several keys may be set; the first seals, every one opens.
"""

import secrets
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ledger.webhooks import SigningKeys, StoredKeys

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_NAME_BYTES: Final = 8


class WebhookSeal:
    """Seals and opens the keys of webhooks. Without any text, keys are stored as they are.

    Attributes:
        newest: The name of the key that seals now; it says nothing of the key. `None` without one.
        names: The names of all keys that open.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """Take the texts of WEBHOOK_KEY, newest first; each must be unguessable."""
        self._ciphers = {
            _derived(text, b"402pay webhook key name", _NAME_BYTES).hex(): AESGCM(
                _derived(text, b"402pay webhook key", _KEY_BYTES)
            )
            for text in texts
        }
        self.names: Final = tuple(self._ciphers)
        self.newest: Final = self.names[0] if self.names else None

    def seal(self, webhook_id: UUID, keys: SigningKeys) -> StoredKeys:
        """The keys of a webhook as the database may hold them."""
        if self.newest is None:
            return StoredKeys(keys.secret, keys.signing_seed, keys.public_key, None)
        cipher = self._ciphers[self.newest]

        def sealed(part: bytes, name: bytes) -> bytes:
            nonce = secrets.token_bytes(_NONCE_BYTES)
            return nonce + cipher.encrypt(nonce, part, _bound_to(webhook_id, keys.public_key, name))

        return StoredKeys(
            sealed(keys.secret, b"secret"), sealed(keys.signing_seed, b"seed"), keys.public_key, self.newest
        )

    def open(self, webhook_id: UUID, stored: StoredKeys) -> SigningKeys:
        """The keys themselves.

        Raises:
            KeyError: They were sealed by a key that is not set.
            cryptography.exceptions.InvalidTag: They were altered, or sealed for another webhook.
        """
        if stored.sealed_by is None:
            return SigningKeys(stored.secret, stored.signing_seed, stored.public_key)
        cipher = self._ciphers[stored.sealed_by]

        def opened(part: bytes, name: bytes) -> bytes:
            bound_to = _bound_to(webhook_id, stored.public_key, name)
            return cipher.decrypt(part[:_NONCE_BYTES], part[_NONCE_BYTES:], bound_to)

        return SigningKeys(opened(stored.secret, b"secret"), opened(stored.signing_seed, b"seed"), stored.public_key)


def _derived(text: str, purpose: bytes, length_bytes: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length_bytes, salt=None, info=purpose).derive(text.encode())


def _bound_to(webhook_id: UUID, public_key: bytes, name: bytes) -> bytes:
    return webhook_id.bytes + public_key + name
