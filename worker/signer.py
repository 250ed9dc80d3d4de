"""The settlement wallet's key: read once, never shown.

SETTLEMENT_KEYPAIR is the path of a file, or the secret itself: a JSON array of 64 numbers as Solana's own tools write
it, or the same 64 bytes in base58. A file, also one that SETTLEMENT_KEYPAIR_FILE names, is refused where others can
read it.
"""

from typing import Any

from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import Transaction

from runtime.errors import OperatorError
from runtime.keypairs import read_keypair
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
    signer = Signer(read_keypair(settings.settlement_keypair.get_secret_value(), "SETTLEMENT_KEYPAIR"))
    if settings.settlement_wallet not in {None, signer.address}:
        raise OperatorError(
            f"SETTLEMENT_KEYPAIR is the key of {signer.address}, but SETTLEMENT_WALLET is "
            f"{settings.settlement_wallet}; correct one of them."
        )
    return signer
