"""The wallets that pay the fees of settlements: their keys are read once and never shown.

X402_FEE_PAYER_KEYPAIR lists the keys that are advertised, X402_RETIRED_FEE_PAYER_KEYPAIR those that were: sellers keep
what GET /x402/supported said, and so every fee payer that was ever advertised goes on being honoured. Each is the path
of a file, or the secret itself; see runtime/keypairs.py.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from pydantic import SecretStr
from solders.keypair import Keypair
from solders.message import to_bytes_versioned
from solders.transaction import VersionedTransaction

from api.settings import ApiSettings
from runtime.errors import OperatorError
from runtime.keypairs import read_keypairs


class FeePayers:
    """Signs as the fee payer of settlements. Nothing that prints, pickles or compares it shows a key.

    Attributes:
        addresses: Every fee payer of ours, those that are advertised first.
        advertised: Those that new payments are to use.
    """

    __slots__ = ("__keypairs", "__turns", "addresses", "advertised")

    def __init__(self, advertised: Sequence[Keypair], retired: Sequence[Keypair] = ()) -> None:
        self.__keypairs = {str(keypair.pubkey()): keypair for keypair in (*advertised, *retired)}
        self.addresses = tuple(self.__keypairs)
        self.advertised = tuple(dict.fromkeys(str(keypair.pubkey()) for keypair in advertised))
        self.__turns = itertools.cycle(self.advertised)

    def next_advertised(self) -> str | None:
        """A fee payer for new payments, each in its turn; `None` where nothing is settled."""
        return next(self.__turns, None)

    def sign(self, transaction: bytes) -> tuple[str, bytes]:
        """Put the fee payer's signature into a transaction that the payer has signed.

        Args:
            transaction: What `check` found good; its fee payer is one of `addresses`.

        Returns:
            The transaction's signature, by which the chain knows it, and its bytes, ready to be sent.
        """
        read = VersionedTransaction.from_bytes(transaction)
        signer = self.__keypairs[str(read.message.account_keys[0])]
        signature = signer.sign_message(to_bytes_versioned(read.message))
        return str(signature), bytes(VersionedTransaction.populate(read.message, [signature, *read.signatures[1:]]))

    def __bool__(self) -> bool:
        """True where payments are settled."""
        return bool(self.advertised)

    def __repr__(self) -> str:
        return f"FeePayers({', '.join(self.addresses)})"

    def __reduce__(self) -> Any:
        raise TypeError("a fee payer's key is not to be written anywhere")


def load_fee_payers(settings: ApiSettings) -> FeePayers:
    """The fee payers that the settings name; none of them without the settings.

    Raises:
        OperatorError: A key cannot be read, is open to other users, is no key, or is that of SETTLEMENT_WALLET.
    """
    payers = FeePayers(
        _keypairs(settings.x402_fee_payer_keypair, "X402_FEE_PAYER_KEYPAIR"),
        _keypairs(settings.x402_retired_fee_payer_keypair, "X402_RETIRED_FEE_PAYER_KEYPAIR"),
    )
    if settings.settlement_wallet in payers.addresses:
        raise OperatorError(
            "X402_FEE_PAYER_KEYPAIR names the key of SETTLEMENT_WALLET, which holds other people's money; "
            "make a key of its own, with SOL for fees and nothing else."
        )
    return payers


def _keypairs(secret: SecretStr | None, variable: str) -> list[Keypair]:
    return [] if secret is None else read_keypairs(secret.get_secret_value(), variable)
