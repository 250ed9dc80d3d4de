"""Instructions that payments and payouts are made of, read from their bytes; what is laid out otherwise is not read.

What transactions of others did is decoded in `chain.decode`, which knows every instruction of the token programs.
Sources: the SPL Token and Token-2022 instruction enums, the compute budget program's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chain.programs import COMPUTE_BUDGET_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAMS

UNIT_LIMIT: Final = 2
"""SetComputeUnitLimit: how many compute units the transaction may use."""
UNIT_PRICE: Final = 3
"""SetComputeUnitPrice: what is offered on top for each of them, in millionths of a lamport."""
_BUDGET_BYTES: Final = {UNIT_LIMIT: 5, UNIT_PRICE: 9}

_TRANSFER_CHECKED, _TRANSFER_CHECKED_BYTES = bytes([12]), 10
_WITH_FEE, _WITH_FEE_BYTES = bytes([26, 1]), 19
_TRANSFER_ACCOUNTS: Final = 4


@dataclass(frozen=True, slots=True)
class CheckedTransfer:
    """A transfer that names its mint; `amount` and `fee` in base units.

    Attributes:
        fee: What a `TransferCheckedWithFee` expects to be withheld; `None` for a plain `TransferChecked`.
        others: Accounts beyond the four that a transfer has: references, or signers of a multisig.
    """

    source: str
    mint: str
    destination: str
    authority: str
    amount: int
    fee: int | None
    others: tuple[str, ...]


def read_checked_transfer(program: str, data: bytes, accounts: Sequence[str]) -> CheckedTransfer | None:
    """The transfer that an instruction is; `None` for every other instruction."""
    if program not in TOKEN_PROGRAMS or len(accounts) < _TRANSFER_ACCOUNTS:
        return None
    source, mint, destination, authority = accounts[:_TRANSFER_ACCOUNTS]
    if data[:1] == _TRANSFER_CHECKED and len(data) == _TRANSFER_CHECKED_BYTES:
        amount, fee = data[1:9], None
    elif program == TOKEN_2022_PROGRAM and data[:2] == _WITH_FEE and len(data) == _WITH_FEE_BYTES:
        amount, fee = data[2:10], int.from_bytes(data[11:], "little")
    else:
        return None
    others = tuple(accounts[_TRANSFER_ACCOUNTS:])
    return CheckedTransfer(source, mint, destination, authority, int.from_bytes(amount, "little"), fee, others)


def read_compute_budget(program: str, data: bytes) -> tuple[int, int] | None:
    """What an instruction sets, `UNIT_LIMIT` or `UNIT_PRICE`, and to what; `None` for every other instruction."""
    if program != COMPUTE_BUDGET_PROGRAM or not data or _BUDGET_BYTES.get(data[0]) != len(data):
        return None
    return data[0], int.from_bytes(data[1:], "little")
