"""The parameters of one JSON-RPC call, checked as a node checks them."""

from typing import Any, Final

from solders.pubkey import Pubkey
from solders.signature import Signature

from localnet.blocks import COMMITMENTS, Commitment
from localnet.errors import MIN_CONTEXT_SLOT_NOT_REACHED, RpcError, invalid_params

_U64_MAX: Final = 2**64 - 1
_PUBKEY_TEXT_MAX: Final = 44
_SIGNATURE_TEXT_MAX: Final = 88


class Config:
    """The trailing object of a call: commitment, encoding and the like. Absent and `null` are the same."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def commitment(self, *, default: Commitment = "finalized", at_least_confirmed: bool = False) -> Commitment:
        """The commitment asked for. Raises -32602 for an unknown one, or one this method does not serve."""
        asked = self._values.get("commitment")
        for known in COMMITMENTS:
            if asked == known:
                if at_least_confirmed and known == "processed":
                    raise invalid_params("Method does not support commitment below `confirmed`")
                return known
        if asked is None:
            return default
        expected = ", ".join(f"`{name}`" for name in COMMITMENTS)
        raise invalid_params(f"Invalid params: unknown variant `{asked}`, expected one of {expected}.")

    def check_min_context_slot(self, slot: int) -> None:
        """Raises -32016 where the caller has seen a newer slot than `slot`."""
        wanted = self.integer("minContextSlot")
        if wanted is not None and slot < wanted:
            raise RpcError(
                MIN_CONTEXT_SLOT_NOT_REACHED,
                "Minimum context slot has not been reached",
                {"contextSlot": slot},
            )

    def integer(self, name: str) -> int | None:
        """A u64, or None where absent."""
        value = self._values.get(name)
        return None if value is None else _integer(value)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean."""
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise invalid_params(f"Invalid params: invalid type: {_kind(value)}, expected a boolean.")
        return value

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """One of `choices`."""
        value = self._values.get(name)
        if value is None:
            return default
        if value not in choices:
            expected = ", ".join(f"`{one}`" for one in choices)
            raise invalid_params(f"Invalid params: unknown variant `{value}`, expected one of {expected}.")
        return str(value)

    def signature(self, name: str) -> str | None:
        """A transaction signature, or None where absent."""
        value = self._values.get(name)
        return None if value is None else signature(value)

    def get(self, name: str) -> Any:
        """The raw value, None where absent."""
        return self._values.get(name)


class Params:
    """Positional parameters."""

    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def required(self, index: int) -> Any:
        """The parameter at `index`. Raises -32602 where it is missing."""
        if index >= len(self._values):
            raise invalid_params(f"`params` should have at least {index + 1} argument(s)")
        return self._values[index]

    def get(self, index: int) -> Any:
        """The parameter at `index`, None where it is missing."""
        return self._values[index] if index < len(self._values) else None

    def integer(self, index: int) -> int:
        """A u64."""
        return _integer(self.required(index))

    def text(self, index: int) -> str:
        """A string."""
        return _text(self.required(index))

    def pubkey(self, index: int) -> Pubkey:
        """An address."""
        return pubkey(self.required(index))

    def signature(self, index: int) -> str:
        """A transaction signature."""
        return signature(self.required(index))

    def texts(self, index: int) -> list[Any]:
        """A list, of strings by the caller's word."""
        value = self.required(index)
        if not isinstance(value, list):
            raise invalid_params(f"Invalid params: invalid type: {_kind(value)}, expected a sequence.")
        return value

    def config(self, index: int) -> Config:
        """The trailing object, empty where it is missing or null."""
        value = self.get(index)
        if value is None:
            return Config({})
        if not isinstance(value, dict):
            raise invalid_params(f"Invalid params: invalid type: {_kind(value)}, expected a map.")
        return Config(value)


def pubkey(value: Any) -> Pubkey:
    """The address in `value`. Raises -32602 in the node's words."""
    text = _text(value)
    try:
        return Pubkey.from_string(text)
    except ValueError:
        reason = "WrongSize" if len(text) > _PUBKEY_TEXT_MAX or is_base58(text) else "Invalid"
        raise invalid_params(f"Invalid param: {reason}") from None


def signature(value: Any) -> str:
    """The signature in `value`. Raises -32602 in the node's words."""
    text = _text(value)
    try:
        return str(Signature.from_string(text))
    except ValueError:
        reason = "WrongSize" if len(text) > _SIGNATURE_TEXT_MAX or is_base58(text) else "Invalid"
        raise invalid_params(f"Invalid param: {reason}") from None


def is_base58(text: str) -> bool:
    """True when every character may stand in base58: it is the length then that is wrong."""
    return text.isascii() and text.isalnum() and not set(text) & set("0OIl")


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid_params(f"Invalid params: invalid type: {_kind(value)}, expected u64.")
    if not 0 <= value <= _U64_MAX:
        raise invalid_params(f"Invalid params: invalid value: integer `{value}`, expected u64.")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise invalid_params(f"Invalid params: invalid type: {_kind(value)}, expected a string.")
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"boolean `{str(value).lower()}`"
    if isinstance(value, int):
        return f"integer `{value}`"
    if isinstance(value, float):
        return f"floating point `{value}`"
    if isinstance(value, str):
        return f'string "{value}"'
    return "map" if isinstance(value, dict) else "sequence"
