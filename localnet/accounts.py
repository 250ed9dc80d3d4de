"""Account data of the token programs and of address lookup tables, read and written byte by byte."""

import struct
from dataclasses import dataclass
from typing import Final

from solders.account import Account
from solders.pubkey import Pubkey

from chain import programs

TOKEN_PROGRAM: Final = Pubkey.from_string(programs.TOKEN_PROGRAM)
TOKEN_2022_PROGRAM: Final = Pubkey.from_string(programs.TOKEN_2022_PROGRAM)
TOKEN_PROGRAMS: Final = frozenset((TOKEN_PROGRAM, TOKEN_2022_PROGRAM))
SYSTEM_PROGRAM: Final = Pubkey.default()

MINT_LENGTH: Final = 82
TOKEN_ACCOUNT_LENGTH: Final = 165
MULTISIG_LENGTH: Final = 355
LOOKUP_TABLE_HEADER_LENGTH: Final = 56

_STATE_OFFSET: Final = 108
_MINT_INITIALIZED_OFFSET: Final = 45
_ACCOUNT_TYPE_MINT: Final = 1
_ACCOUNT_TYPE_ACCOUNT: Final = 2
_PUBKEY_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """An initialized token account; `amount` in base units, `state` 1 initialized or 2 frozen."""

    mint: Pubkey
    owner: Pubkey
    amount: int
    delegate: Pubkey | None
    state: int
    native_reserve: int | None
    delegated_amount: int
    close_authority: Pubkey | None
    program: Pubkey


@dataclass(frozen=True, slots=True)
class Mint:
    """An initialized mint; `supply` in base units."""

    authority: Pubkey | None
    supply: int
    decimals: int
    freeze_authority: Pubkey | None
    program: Pubkey


def is_token_account(account: Account) -> bool:
    """True for an initialized token account of either token program; never for a mint or a multisig."""
    if account.owner not in TOKEN_PROGRAMS:
        return False
    data = account.data
    length = len(data)
    if length < TOKEN_ACCOUNT_LENGTH or data[_STATE_OFFSET] == 0:
        return False
    if length == TOKEN_ACCOUNT_LENGTH:
        return True
    return length != MULTISIG_LENGTH and data[TOKEN_ACCOUNT_LENGTH] == _ACCOUNT_TYPE_ACCOUNT


def token_amount(data: bytes) -> int:
    """The balance of a token account in base units."""
    return int.from_bytes(data[64:72], "little")


def parse_token_account(account: Account | None) -> TokenAccount | None:
    """The token account in `account`, or None where it holds something else."""
    if account is None or not is_token_account(account):
        return None
    data = account.data
    native, reserve = struct.unpack_from("<IQ", data, 109)
    return TokenAccount(
        mint=Pubkey(data[:32]),
        owner=Pubkey(data[32:64]),
        amount=token_amount(data),
        delegate=_optional_pubkey(data, 72),
        state=data[_STATE_OFFSET],
        native_reserve=reserve if native else None,
        delegated_amount=int.from_bytes(data[121:129], "little"),
        close_authority=_optional_pubkey(data, 129),
        program=account.owner,
    )


def parse_mint(account: Account | None) -> Mint | None:
    """The mint in `account`, or None where it holds something else."""
    if account is None or account.owner not in TOKEN_PROGRAMS:
        return None
    data = account.data
    length = len(data)
    if length < MINT_LENGTH or data[_MINT_INITIALIZED_OFFSET] == 0:
        return None
    if length != MINT_LENGTH and (
        length <= TOKEN_ACCOUNT_LENGTH or length == MULTISIG_LENGTH or data[TOKEN_ACCOUNT_LENGTH] != _ACCOUNT_TYPE_MINT
    ):
        return None
    return Mint(
        authority=_optional_pubkey(data, 0),
        supply=int.from_bytes(data[36:44], "little"),
        decimals=data[44],
        freeze_authority=_optional_pubkey(data, 46),
        program=account.owner,
    )


def lookup_table_addresses(data: bytes) -> list[Pubkey]:
    """The addresses an address lookup table's account data lists, in index order."""
    start = LOOKUP_TABLE_HEADER_LENGTH
    return [Pubkey(data[at : at + _PUBKEY_LENGTH]) for at in range(start, len(data) - 31, _PUBKEY_LENGTH)]


def mint_data(authority: Pubkey | None, decimals: int) -> bytes:
    """Account data of a mint with no supply and no freeze authority."""
    head = struct.pack("<I", 0) + bytes(32) if authority is None else struct.pack("<I", 1) + bytes(authority)
    return head + struct.pack("<QBB", 0, decimals, 1) + bytes(36)


def transfer_fee_mint_data(authority: Pubkey, decimals: int, basis_points: int, maximum_fee: int) -> bytes:
    """Account data of a Token-2022 mint with the TransferFeeConfig extension.

    `authority` mints, may change the fee and may withdraw what is withheld; `maximum_fee` is in base units.
    """
    fee = struct.pack("<QQH", 0, maximum_fee, basis_points)
    config = bytes(authority) * 2 + struct.pack("<Q", 0) + fee + fee
    base = mint_data(authority, decimals).ljust(TOKEN_ACCOUNT_LENGTH, b"\0")
    return base + bytes([_ACCOUNT_TYPE_MINT]) + struct.pack("<HH", 1, len(config)) + config


def _optional_pubkey(data: bytes, offset: int) -> Pubkey | None:
    if not int.from_bytes(data[offset : offset + 4], "little"):
        return None
    return Pubkey(data[offset + 4 : offset + 36])
