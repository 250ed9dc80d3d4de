"""The `jsonParsed` form of the instructions payments are made of; every other one stays partially decoded."""

from typing import Any, Final

from chain import programs

_TRANSFER: Final = 3
_TRANSFER_ACCOUNTS: Final = 3
_TRANSFER_LENGTH: Final = 9
_SYSTEM_TRANSFER: Final = (2).to_bytes(4, "little")
_SYSTEM_TRANSFER_LENGTH: Final = 12
_SYSTEM_TRANSFER_ACCOUNTS: Final = 2
_PROGRAM_NAMES: Final = {programs.TOKEN_PROGRAM: "spl-token", programs.TOKEN_2022_PROGRAM: "spl-token-2022"}


def parse_instruction(program: str, accounts: list[str], data: bytes) -> dict[str, Any] | None:
    """`{program, parsed}` of a memo, a plain token transfer or a SOL transfer; None for any other."""
    if program in programs.MEMO_PROGRAMS:
        try:
            return {"program": "spl-memo", "parsed": data.decode()}
        except UnicodeDecodeError:
            return None
    if program == programs.SYSTEM_PROGRAM:
        return _system_transfer(accounts, data)
    # With more accounts than these the authority is a multisig, and the shape is another.
    if (
        program in _PROGRAM_NAMES
        and data[:1] == bytes([_TRANSFER])
        and len(accounts) == _TRANSFER_ACCOUNTS
        and len(data) == _TRANSFER_LENGTH
    ):
        source, destination, authority = accounts
        info = {
            "source": source,
            "destination": destination,
            "authority": authority,
            "amount": str(int.from_bytes(data[1:9], "little")),
        }
        return {"program": _PROGRAM_NAMES[program], "parsed": {"type": "transfer", "info": info}}
    return None


def _system_transfer(accounts: list[str], data: bytes) -> dict[str, Any] | None:
    if (
        data[:4] != _SYSTEM_TRANSFER
        or len(data) != _SYSTEM_TRANSFER_LENGTH
        or len(accounts) != _SYSTEM_TRANSFER_ACCOUNTS
    ):
        return None
    info = {
        "source": accounts[0],
        "destination": accounts[1],
        "lamports": int.from_bytes(data[4:12], "little"),
    }
    return {"program": "system", "parsed": {"type": "transfer", "info": info}}
