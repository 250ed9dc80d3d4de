"""Instructions for the bank, byte by byte, that neither `spl` nor the package itself builds. Sources: the instruction
enums of the token programs, the system program and the address lookup table program."""

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from chain.programs import (
    ADDRESS_LOOKUP_TABLE_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
)

SPL = Pubkey.from_string(TOKEN_PROGRAM)
SPL_2022 = Pubkey.from_string(TOKEN_2022_PROGRAM)
SYSTEM = Pubkey.from_string(SYSTEM_PROGRAM)
LOOKUP_TABLES = Pubkey.from_string(ADDRESS_LOOKUP_TABLE_PROGRAM)


def u64(number: int) -> bytes:
    return number.to_bytes(8, "little")


def build(program: Pubkey, data: bytes, writable=(), signers=(), read_only=()) -> Instruction:
    """Accounts in the order writable, signers, read-only; a signer is written too."""
    metas = [AccountMeta(key, False, True) for key in writable]
    metas += [AccountMeta(key, True, True) for key in signers]
    metas += [AccountMeta(key, False, False) for key in read_only]
    return Instruction(program, bytes(data), metas)


def create_account(payer, account, lamports, space=165, owner=SPL) -> Instruction:
    return build(SYSTEM, (0).to_bytes(4, "little") + u64(lamports) + u64(space) + bytes(owner), (), (payer, account))


def create_with_seed(payer, seed: str, lamports, space=165, owner=SPL) -> tuple[Instruction, Pubkey]:
    account = Pubkey.create_with_seed(payer, seed, owner)
    data = (3).to_bytes(4, "little") + bytes(payer) + u64(len(seed)) + seed.encode() + u64(lamports) + u64(space)
    metas = [AccountMeta(payer, True, True), AccountMeta(account, False, True)]
    return Instruction(SYSTEM, data + bytes(owner), metas), account


def create_allow_prefund(account, payer, lamports, space=165, owner=SPL) -> Instruction:
    """SIMD-0312: the new account first, and it may hold lamports already."""
    data = (13).to_bytes(4, "little") + u64(lamports) + u64(space) + bytes(owner)
    return build(SYSTEM, data, (), (account, payer))


def initialize(account, mint, owner, program=SPL) -> Instruction:
    return build(program, b"\x12" + bytes(owner), (account,), (), (mint,))


def close(account, destination, owner, program=SPL) -> Instruction:
    return build(program, b"\x09", (account, destination), (owner,))


def sync(account, program=SPL) -> Instruction:
    return build(program, b"\x11", (account,))


def set_owner(account, owner, new_owner, program=SPL) -> Instruction:
    return build(program, b"\x06\x02\x01" + bytes(new_owner), (account,), (owner,))


def unwrap(account, destination, owner, amount=None, program=SPL) -> Instruction:
    data = b"\x2d\x00" if amount is None else b"\x2d\x01" + u64(amount)
    return build(program, data, (account, destination), (owner,))


def withdraw_excess(account, destination, owner, program=SPL) -> Instruction:
    return build(program, b"\x26", (account, destination), (owner,))


def transfer_checked_2022(source, mint, destination, owner, amount, decimals=6) -> Instruction:
    metas = [
        AccountMeta(source, False, True),
        AccountMeta(mint, False, False),
        AccountMeta(destination, False, True),
        AccountMeta(owner, True, False),
    ]
    return Instruction(SPL_2022, b"\x0c" + u64(amount) + bytes([decimals]), metas)


def harvest_to_mint(mint, *accounts) -> Instruction:
    return build(SPL_2022, b"\x1a\x04", (mint, *accounts))


def withdraw_withheld_from_mint(mint, destination, authority) -> Instruction:
    return build(SPL_2022, b"\x1a\x02", (mint, destination), (authority,))


def withdraw_withheld_from_accounts(mint, destination, authority, *accounts) -> Instruction:
    metas = [
        AccountMeta(mint, False, False),
        AccountMeta(destination, False, True),
        AccountMeta(authority, True, False),
        *(AccountMeta(account, False, True) for account in accounts),
    ]
    return Instruction(SPL_2022, bytes([26, 3, len(accounts)]), metas)


def create_native_mint(payer, mint) -> Instruction:
    metas = [AccountMeta(payer, True, True), AccountMeta(mint, False, True), AccountMeta(SYSTEM, False, False)]
    return Instruction(SPL_2022, b"\x1f", metas)


def deactivate_lookup_table(table, authority) -> Instruction:
    return build(LOOKUP_TABLES, (3).to_bytes(4, "little"), (table,), (authority,))


def close_lookup_table(table, authority, recipient) -> Instruction:
    """The lookup table program moves the table's lamports to `recipient` itself, with no instruction that shows it."""
    metas = [
        AccountMeta(table, False, True),
        AccountMeta(authority, True, False),
        AccountMeta(recipient, False, True),
    ]
    return Instruction(LOOKUP_TABLES, (4).to_bytes(4, "little"), metas)
