"""Token-2022 transfer fees from the mint's own configuration. Source: the transfer fee extension.

A mint's account is 165 bytes of base state and padding, one byte for the account type, then extensions: type
(u16), length (u16), value, little-endian. Extension 1 holds two authorities, the withheld amount (u64), and
the older and the newer fee: first epoch (u64), maximum in base units (u64), basis points (u16).
"""

import struct
from collections.abc import Iterable
from typing import Final

from chain.decode import FeeRule
from chain.node import Node
from chain.programs import TOKEN_2022_PROGRAM
from ledger.observation import Unexplained

_EXTENSIONS_AT: Final = 166
_TRANSFER_FEE_CONFIG: Final = 1
_FEES_AT: Final = 72
_FEE: Final = struct.Struct("<QQH")
_TYPE_AND_LENGTH: Final = struct.Struct("<HH")
_BASIS_POINTS: Final = 10_000


async def fee_rules(node: Node, findings: Iterable[Unexplained]) -> dict[str, FeeRule]:
    """The fee rules of the mints in `findings`, as they are in force now.

    A rule that has changed since the transaction does not add up there, and the finding stays.
    """
    rules = {}
    for mint in {finding.mint for finding in findings if finding.mint}:
        _, account = await node.account(mint)
        if account is not None and account.program == TOKEN_2022_PROGRAM:
            rule = parse_fee_rule(account.data, await node.epoch())
            if rule is not None:
                rules[mint] = rule
    return rules


def parse_fee_rule(mint_data: bytes, epoch: int | None = None) -> FeeRule | None:
    """The fee of a Token-2022 mint in force in `epoch`, or its newest; `None` when it has no fee extension."""
    position = _EXTENSIONS_AT
    while position + _TYPE_AND_LENGTH.size <= len(mint_data):
        kind, length = _TYPE_AND_LENGTH.unpack_from(mint_data, position)
        position += _TYPE_AND_LENGTH.size
        if kind == _TRANSFER_FEE_CONFIG and position + _FEES_AT + 2 * _FEE.size <= len(mint_data):
            fee = _FEE.unpack_from(mint_data, position + _FEES_AT + _FEE.size)
            if epoch is not None and epoch < fee[0]:
                fee = _FEE.unpack_from(mint_data, position + _FEES_AT)
            _, maximum, basis_points = fee
            return lambda amount: min(-(-amount * basis_points // _BASIS_POINTS), maximum)
        position += length
    return None
