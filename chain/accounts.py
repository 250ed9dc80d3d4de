"""Accounts as nodes report them, and where the token programs keep what in their data.

Sources: the account states of SPL Token and Token-2022, which have the same first 165 bytes.
"""

from dataclasses import dataclass
from typing import Final

from solders.pubkey import Pubkey

from chain.programs import TOKEN_PROGRAMS

HOLDING_BYTES: Final = 72
"""Mint, owner and amount of a token account: so many bytes from its beginning."""

_TOKEN_ACCOUNT_BYTES: Final = 165
_ACCOUNT_TYPE_TOKEN: Final = 2
_MINT_DECIMALS_AT: Final = 44
_STATE_AT: Final = 108
_FROZEN: Final = 2
# Token-2022 may append to accounts and mints, but never to this length, by which a multisig is known.
_MULTISIG_BYTES: Final = 355


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
