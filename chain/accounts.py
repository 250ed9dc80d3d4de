"""Accounts as nodes report them, and where the token programs keep what in their data.

Sources: the account states of SPL Token and Token-2022, which have the same first 165 bytes, and the transfer fee
extension. A mint of Token-2022 is 165 bytes of base state and padding, one byte for the account type, then extensions:
type (u16), length (u16), value, little-endian. Extension 1 holds two authorities, the withheld amount (u64), and the
older and the newer fee: first epoch (u64), maximum in base units (u64), basis points (u16).
"""

import struct
from dataclasses import dataclass
from typing import Final

from solders.pubkey import Pubkey

from chain.programs import TOKEN_2022_PROGRAM, TOKEN_PROGRAMS

HOLDING_BYTES: Final = 72
"""Mint, owner and amount of a token account: so many bytes from its beginning."""

_TOKEN_ACCOUNT_BYTES: Final = 165
_ACCOUNT_TYPE_TOKEN: Final = 2
_MINT_DECIMALS_AT: Final = 44
_STATE_AT: Final = 108
_FROZEN: Final = 2
# Token-2022 may append to accounts and mints, but never to this length, by which a multisig is known.
_MULTISIG_BYTES: Final = 355
_EXTENSIONS_AT: Final = 166
_TYPE_AND_LENGTH: Final = struct.Struct("<HH")
_TRANSFER_FEE_CONFIG: Final = 1
_FEES_AT: Final = 72
_FEE: Final = struct.Struct("<QQH")
_BASIS_POINTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class TransferFee:
    """What a Token-2022 mint withholds of each transfer: a share in basis points, up to a maximum in base units."""

    basis_points: int
    maximum: int

    def of(self, amount: int) -> int:
        """The fee of a transfer of `amount`, in base units; rounded up, as the token program does."""
        return min(-(-amount * self.basis_points // _BASIS_POINTS), self.maximum)


@dataclass(frozen=True, slots=True)
class AccountState:
    """An account as a node reports it at `slot`; `program` owns it, `lamports` is its balance of SOL."""

    slot: int
    program: str
    lamports: int
    data: bytes
    executable: bool

    @property
    def is_token_account(self) -> bool:
        """True for an account that holds tokens; false for a wallet, a mint or a multisig."""
        if self.program not in TOKEN_PROGRAMS:
            return False
        size = len(self.data)
        return size == _TOKEN_ACCOUNT_BYTES or (
            size > _TOKEN_ACCOUNT_BYTES
            and size != _MULTISIG_BYTES
            and self.data[_TOKEN_ACCOUNT_BYTES] == _ACCOUNT_TYPE_TOKEN
        )

    @property
    def is_multisig(self) -> bool:
        """True for a multisig of the token programs, which can own token accounts and be paid."""
        return self.program in TOKEN_PROGRAMS and len(self.data) == _MULTISIG_BYTES

    @property
    def token_mint(self) -> str:
        """The mint of a token account."""
        return str(Pubkey(self.data[:32]))

    @property
    def token_owner(self) -> str:
        """The wallet that owns a token account."""
        return str(Pubkey(self.data[32:64]))

    @property
    def token_amount(self) -> int:
        """The balance of a token account, in base units."""
        return int.from_bytes(self.data[64:72], "little")

    @property
    def is_frozen(self) -> bool:
        """True for a token account that the token's issuer has frozen."""
        return self.is_token_account and self.data[_STATE_AT] == _FROZEN

    @property
    def mint_decimals(self) -> int:
        """The decimals of a mint."""
        return self.data[_MINT_DECIMALS_AT]

    def transfer_fee(self, epoch: int | None = None) -> TransferFee | None:
        """The fee of a Token-2022 mint in force in `epoch`, or its newest; `None` when it has no fee extension."""
        if self.program != TOKEN_2022_PROGRAM:
            return None
        position = _EXTENSIONS_AT
        while position + _TYPE_AND_LENGTH.size <= len(self.data):
            kind, length = _TYPE_AND_LENGTH.unpack_from(self.data, position)
            position += _TYPE_AND_LENGTH.size
            if kind == _TRANSFER_FEE_CONFIG and position + _FEES_AT + 2 * _FEE.size <= len(self.data):
                older = _FEE.unpack_from(self.data, position + _FEES_AT)
                newer = _FEE.unpack_from(self.data, position + _FEES_AT + _FEE.size)
                _, maximum, basis_points = older if epoch is not None and epoch < newer[0] else newer
                return TransferFee(basis_points, maximum)
            position += length
        return None

    def balance_of(self, *, is_wallet: bool) -> int:
        """Base units: a wallet's lamports, or a token account's amount; 0 for what is neither."""
        if is_wallet:
            return self.lamports
        return self.token_amount if self.is_token_account else 0


@dataclass(frozen=True, slots=True)
class OwnedTokenAccount:
    """A token account of a wallet, as `getTokenAccountsByOwner` lists it; `balance` is in base units."""

    address: str
    mint: str
    program: str
    balance: int
