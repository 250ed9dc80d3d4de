"""From when on a wallet is followed, and what its owner signs to register it."""

from typing import Final

# A payment that was on its way while the wallet was being registered counts: about 13 seconds on mainnet.
_GRACE_SLOTS: Final = 32

REGISTRATION_START: Final = "402pay recipient "
"""How every text begins that registers a wallet. No nonce may, or one signature would be good for two things."""


def followed_from(newest_slot: int) -> int:
    """The first slot that counts for a wallet that is registered at `newest_slot`."""
    return max(newest_slot - _GRACE_SLOTS, 0)


def registration_text(address: str, user_id: str) -> str:
    """What the wallet `address` signs, with ed25519 over its UTF-8 bytes, to be followed for `user_id`."""
    return f"{REGISTRATION_START}{address} for {user_id}"
