"""The settlement wallet's key: read once, never shown.

SETTLEMENT_KEYPAIR is the path of a file, or the secret itself: a JSON array of 64 numbers as Solana's own tools write
it, or the same 64 bytes in base58. A file, also one that SETTLEMENT_KEYPAIR_FILE names, is refused where others can
read it.
"""

from pathlib import Path
from typing import Any

import msgspec
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import Transaction

from chain.base58 import b58decode
from runtime.errors import OperatorError
from runtime.private_file import refuse_if_open
from worker.settings import WorkerSettings


class Signer:
    """Signs for the settlement wallet. Nothing that prints, pickles or compares it shows the key."""

    __slots__ = ("__keypair", "address")

    def __init__(self, keypair: Keypair) -> None:
        self.__keypair = keypair
        self.address = str(keypair.pubkey())

    def sign(self, message: Message) -> Transaction:
        """`message`, signed; it must want no other signature."""
        return Transaction([self.__keypair], message, message.recent_blockhash)

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    def __reduce__(self) -> Any:
        raise TypeError("a settlement key is not to be written anywhere")


def load_signer(settings: WorkerSettings) -> Signer | None:
    """The signer that SETTLEMENT_KEYPAIR names; `None` without one.

    Raises:
        OperatorError: It cannot be read, is open to other users, is no key, or not that of SETTLEMENT_WALLET.
    """
    if settings.settlement_keypair is None:
        return None
    signer = Signer(_parse(_secret_text(settings.settlement_keypair.get_secret_value().strip())))
    if settings.settlement_wallet not in {None, signer.address}:
        raise OperatorError(
            f"SETTLEMENT_KEYPAIR is the key of {signer.address}, but SETTLEMENT_WALLET is "
            f"{settings.settlement_wallet}; correct one of them."
        )
    return signer


def _secret_text(value: str) -> str:
    """The secret itself, or what the file of that name holds."""
    if value.startswith("[") or ("/" not in value and not Path(value).exists()):
        return value
    path = Path(value)
    try:
        refuse_if_open(path, "SETTLEMENT_KEYPAIR")
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise OperatorError(
            f"The file that SETTLEMENT_KEYPAIR names cannot be read ({reason}); correct the path."
        ) from None


def _parse(text: str) -> Keypair:
    # Whatever is wrong is said without a word of what was found.
    try:
        numbers = bytes(msgspec.json.decode(text, type=list[int])) if text.startswith("[") else b58decode(text)
        # The second half must be the public key of the first: a slip of the hand is noticed.
        return Keypair.from_bytes(numbers)
    except (ValueError, msgspec.DecodeError):
        raise OperatorError(
            "SETTLEMENT_KEYPAIR is no secret key; give a file or a JSON array of 64 numbers as `solana-keygen` "
            "writes it, or the same bytes in base58."
        ) from None
