"""Base58 in the Bitcoin alphabet, the encoding of addresses, signatures and instruction data on Solana."""

from typing import Final

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# An instruction's data has 10 KB at most, a transaction less. Decoding takes time by the square of the length.
_CHARACTERS_MAX: Final = 16_384
_VALUE: Final = {character: value for value, character in enumerate(_ALPHABET)}


def b58decode(text: str) -> bytes:
    """Decode `text`.

    Raises:
        ValueError: A character is not in the alphabet, or there are more than anything on the chain has.
    """
    if len(text) > _CHARACTERS_MAX:
        raise ValueError(f"base58 longer than {_CHARACTERS_MAX} characters")
    number = 0
    try:
        for character in text:
            number = number * 58 + _VALUE[character]
    except KeyError:
        raise ValueError(f"{text!r} is not base58") from None
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def b58encode(data: bytes) -> str:
    """Encode `data`."""
    number = int.from_bytes(data, "big")
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))
