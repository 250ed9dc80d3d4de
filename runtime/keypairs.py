"""Secret keys that settings name: the path of a file, or the secret itself.

The secret is a JSON array of 64 numbers as Solana's own tools write it, or the same 64 bytes in base58. A file is
refused where others can read it.
"""

import re
from pathlib import Path
from typing import Final

import msgspec
from solders.keypair import Keypair

from chain.base58 import b58decode
from runtime.errors import OperatorError
from runtime.private_file import refuse_if_open

# Commas within an array of numbers part nothing.
_PARTS: Final = re.compile(r"\[[^\]]*\]|[^,\[]+")


def read_keypair(value: str, variable: str) -> Keypair:
    """The key that `value` of the setting `variable` names.

    Raises:
        OperatorError: It cannot be read, is open to other users, or is no key; the sentence says nothing of it.
    """
    return _parse(_secret_text(value.strip(), variable), variable)


def read_keypairs(value: str, variable: str) -> list[Keypair]:
    """The keys that `value` names, comma-separated, in their order. Raises as `read_keypair`."""
    return [read_keypair(part, variable) for part in _PARTS.findall(value) if part.strip()]


def _secret_text(value: str, variable: str) -> str:
    """The secret itself, or what the file of that name holds."""
    if value.startswith("[") or ("/" not in value and not Path(value).exists()):
        return value
    path = Path(value)
    try:
        refuse_if_open(path, variable)
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise OperatorError(f"The file that {variable} names cannot be read ({reason}); correct the path.") from None


def _parse(text: str, variable: str) -> Keypair:
    # Whatever is wrong is said without a word of what was found.
    try:
        numbers = bytes(msgspec.json.decode(text, type=list[int])) if text.startswith("[") else b58decode(text)
        # The second half must be the public key of the first: a slip of the hand is noticed.
        return Keypair.from_bytes(numbers)
    except (ValueError, msgspec.DecodeError):
        raise OperatorError(
            f"{variable} is no secret key; give a file or a JSON array of 64 numbers as `solana-keygen` "
            "writes it, or the same bytes in base58."
        ) from None
