"""The transaction of a payment, taken apart. Pure: nothing is asked of a node."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from solders.message import Message, MessageV0, to_bytes_versioned
from solders.transaction import SanitizeError, VersionedTransaction

TRANSACTION_BYTES_MAX: Final = 1232
_ENCODED_CHARACTERS_MAX: Final = 4 * (-(-TRANSACTION_BYTES_MAX // 3))


class NotATransactionError(ValueError):
    """The text is no transaction; the message says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class DecodedInstruction:
    """An instruction with the addresses of its program and its accounts."""

    program: str
    accounts: tuple[str, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class DecodedTransaction:
    """A transaction in its parts.

    Attributes:
        wire: Its bytes.
        message_hash: SHA-256 of the message that its signers sign.
        signers: The keys that have to sign, the fee payer first.
        unsigned: Those of them, besides the fee payer, whose signature is missing or does not verify.
        blockhash: The recent blockhash that it names.
        has_lookup_tables: It takes keys from address lookup tables; then its instructions cannot be read.
        instructions: In their order.
    """

    wire: bytes
    message_hash: bytes
    signers: tuple[str, ...]
    unsigned: tuple[str, ...]
    blockhash: str
    has_lookup_tables: bool
    instructions: tuple[DecodedInstruction, ...]


def decode_transaction(text: str) -> DecodedTransaction:
    """The transaction that `text` holds in base64.

    Raises:
        NotATransactionError: It is not base64, no transaction, one that no node would accept, or one with something
            after its end.
    """
    if len(text) > _ENCODED_CHARACTERS_MAX:
        raise NotATransactionError(f"it is longer than the {TRANSACTION_BYTES_MAX} bytes of a transaction")
    try:
        wire = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise NotATransactionError("it is not base64") from None
    try:
        transaction = VersionedTransaction.from_bytes(wire)
        transaction.sanitize()
    except (ValueError, SanitizeError):
        raise NotATransactionError("its bytes are no transaction of a known version") from None
    message = transaction.message
    # What a node reads must be what was read here, to the last byte.
    if len(wire) > TRANSACTION_BYTES_MAX or bytes(transaction) != wire or not isinstance(message, Message | MessageV0):
        raise NotATransactionError("its bytes are no transaction of a known version")
    signed = to_bytes_versioned(message)
    keys = message.account_keys
    signers = keys[: message.header.num_required_signatures]
    others = zip(signers[1:], transaction.signatures[1:], strict=True)
    has_lookup_tables = isinstance(message, MessageV0) and bool(message.address_table_lookups)
    addresses = [] if has_lookup_tables else [str(key) for key in keys]
    return DecodedTransaction(
        wire=wire,
        message_hash=hashlib.sha256(signed).digest(),
        signers=tuple(str(key) for key in signers),
        unsigned=tuple(str(key) for key, signature in others if not signature.verify(key, signed)),
        blockhash=str(message.recent_blockhash),
        has_lookup_tables=has_lookup_tables,
        instructions=()
        if has_lookup_tables
        else tuple(
            DecodedInstruction(
                addresses[instruction.program_id_index],
                tuple(addresses[index] for index in instruction.accounts),
                bytes(instruction.data),
            )
            for instruction in message.instructions
        ),
    )


def encode_transaction(wire: bytes) -> str:
    """The bytes of a transaction in base64, as nodes and payloads carry it."""
    return base64.b64encode(wire).decode("ascii")
