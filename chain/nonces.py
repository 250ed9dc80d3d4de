"""Nonce accounts, by which a transaction can land days after it was signed.

Such a transaction names the account's value instead of a recent blockhash, and advances it by its first instruction: it
can land while the account holds that value, and never again afterwards, even if it failed. No value comes back.

Sources: the Solana documentation on durable nonces, the System program's instruction enum, the state of nonce accounts:
version (u32), state (u32), authority, value, lamports of a signature (u64), little-endian.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.system_program import (
    AdvanceNonceAccountParams,
    advance_nonce_account,
    create_nonce_account,
)

from chain.accounts import AccountState
from chain.programs import SYSTEM_PROGRAM

NONCE_BYTES: Final = 80
_CURRENT_AND_INITIALIZED: Final = (1).to_bytes(4, "little") * 2
_AUTHORITY_AT, _VALUE_AT, _FEE_AT = 8, 40, 72
_ADVANCE_NONCE: Final = (4).to_bytes(4, "little")
_ADVANCE_ACCOUNTS: Final = 3
_RECENT_BLOCKHASHES: Final = "SysvarRecentB1ockHashes11111111111111111111"


@dataclass(frozen=True, slots=True)
class NonceState:
    """What a nonce account holds: its value, in base58, and the wallet that has to sign for its use."""

    authority: str
    value: str


def nonce_state(account: AccountState | None) -> NonceState | None:
    """What is in a nonce account that can be used; `None` for one that is closed, and for anything else."""
    return None if account is None else parse_nonce(account.program, account.lamports, account.data)


def parse_nonce(program: str, lamports: int, data: bytes) -> NonceState | None:
    """As `nonce_state`, from the parts of an account."""
    # Some nodes report a closed account as it was, with no lamports.
    if program != SYSTEM_PROGRAM or not lamports or len(data) != NONCE_BYTES or data[:8] != _CURRENT_AND_INITIALIZED:
        return None
    return NonceState(str(Pubkey(data[_AUTHORITY_AT:_VALUE_AT])), str(Hash.from_bytes(data[_VALUE_AT:_FEE_AT])))


def with_value(data: bytes, value: Hash) -> bytes:
    """The data of a nonce account, with another value."""
    return data[:_VALUE_AT] + bytes(value) + data[_FEE_AT:]


def advancing(account: str, authority: str) -> Instruction:
    """The instruction that gives a nonce account its next value."""
    return advance_nonce_account(
        AdvanceNonceAccountParams(
            nonce_pubkey=Pubkey.from_string(account), authorized_pubkey=Pubkey.from_string(authority)
        )
    )


def advance_only(account: str, state: NonceState) -> Message:
    """A message that does nothing but advance: what was signed under the value that it names can never land then."""
    payer = Pubkey.from_string(state.authority)
    return Message.new_with_blockhash([advancing(account, state.authority)], payer, Hash.from_string(state.value))


def creation(payer: Keypair, account: Keypair, authority: str, lamports: int, blockhash: str) -> Message:
    """A message by which `payer` opens a nonce account, of `lamports`, that `authority` alone can use or close."""
    made = create_nonce_account(payer.pubkey(), account.pubkey(), Pubkey.from_string(authority), lamports)
    return Message.new_with_blockhash([*made], payer.pubkey(), Hash.from_string(blockhash))


def nonce_account_of(message: Message | MessageV0) -> str | None:
    """The account that the first instruction of a message advances, where it is that; `None` for another message.

    Only so, and by a signature of the account's authority, does a transaction live by a nonce.
    """
    first = message.instructions[0] if message.instructions else None
    if first is None or len(first.accounts) < _ADVANCE_ACCOUNTS or bytes(first.data) != _ADVANCE_NONCE:
        return None
    keys = message.account_keys
    if max(first.program_id_index, *first.accounts) >= len(keys) or str(keys[first.program_id_index]) != SYSTEM_PROGRAM:
        return None
    return str(keys[first.accounts[0]])


def is_advance(program: str, data: bytes, accounts: Sequence[str], account: str, authority: str) -> bool:
    """Whether an instruction advances `account` for `authority`, and is exactly as `advancing` makes it."""
    return (program, data, [*accounts]) == (SYSTEM_PROGRAM, _ADVANCE_NONCE, [account, _RECENT_BLOCKHASHES, authority])


def is_advance_only(message: Message) -> bool:
    """Whether a message is one of `advance_only`, to the last byte."""
    account = nonce_account_of(message)
    if account is None:
        return False
    state = NonceState(str(message.account_keys[0]), str(message.recent_blockhash))
    return bytes(message) == bytes(advance_only(account, state))
