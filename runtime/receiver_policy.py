"""How far webhooks may go, as settings say it; `receiver_addresses` enforces it."""

from enum import Enum, auto


class ReceiverPolicy(Enum):
    """How far deliveries may go."""

    PUBLIC = auto()
    """To public addresses, by TLS."""
    LOOPBACK_TOO = auto()
    """To this machine as well, also without TLS."""
    ANY = auto()
    """Anywhere, also without TLS."""
