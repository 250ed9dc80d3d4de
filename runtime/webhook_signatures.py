"""Signatures of webhooks by Standard Webhooks 1.0.0: v1, HMAC-SHA256, and v1a, ed25519."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

from solders.keypair import Keypair

from ledger.webhooks import SigningKeys

_KEY_BYTES: Final = 32
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what a secret begins with is none
_PUBLIC_PREFIX: Final = "whpk_"


def new_signing_keys() -> SigningKeys:
    """Keys that nobody can guess."""
    seed = secrets.token_bytes(_KEY_BYTES)
    public_key = bytes(Keypair.from_seed(seed).pubkey())
    return SigningKeys(secrets.token_bytes(_KEY_BYTES), seed, public_key)


def secret_text(keys: SigningKeys) -> str:
    """The secret as its receiver stores it: `whsec_` and base64."""
    return _SECRET_PREFIX + base64.b64encode(keys.secret).decode()


def public_key_text(public_key: bytes) -> str:
    """The key that verifies v1a signatures: `whpk_` and base64."""
    return _PUBLIC_PREFIX + base64.b64encode(public_key).decode()


def signed_headers(
    message_id: str, timestamp_seconds: int, body: bytes, *, secret_keys: Sequence[bytes], seeds: Sequence[bytes]
) -> dict[str, str]:
    """The headers of a delivery, with a signature by each key that is valid.

    Args:
        message_id: The same in every try.
        timestamp_seconds: When this try is made, since 1970.
        body: What is sent, byte by byte.
        secret_keys: Secrets of HMAC-SHA256.
        seeds: Seeds of ed25519 keys.
    """
    content = f"{message_id}.{timestamp_seconds}.".encode() + body
    signatures = [
        *(("v1", hmac.new(key, content, hashlib.sha256).digest()) for key in secret_keys),
        *(("v1a", bytes(Keypair.from_seed(seed).sign_message(content))) for seed in seeds),
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_seconds),
        "webhook-signature": " ".join(f"{scheme},{base64.b64encode(one).decode()}" for scheme, one in signatures),
    }
