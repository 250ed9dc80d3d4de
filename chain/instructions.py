"""Instructions of the token programs that the `spl` package does not build.

Sources: the SPL Token and Token-2022 instruction enums, the associated token account program, Solana Pay.
"""

from collections.abc import Iterable, Sequence

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from spl.token.instructions import get_associated_token_address

from chain.programs import ASSOCIATED_TOKEN_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM


def with_references(instruction: Instruction, references: Iterable[Pubkey]) -> Instruction:
    """`instruction` with Solana Pay reference keys: read-only accounts that sign nothing."""
    extra = [AccountMeta(key, is_signer=False, is_writable=False) for key in references]
    return Instruction(instruction.program_id, bytes(instruction.data), [*instruction.accounts, *extra])


def batch(instructions: Sequence[Instruction]) -> Instruction:
    """Several SPL Token instructions in one p-token `Batch` (discriminator 255)."""
    parts = [bytes([len(i.accounts), len(i.data)]) + bytes(i.data) for i in instructions]
    accounts = [account for i in instructions for account in i.accounts]
    return Instruction(Pubkey.from_string(TOKEN_PROGRAM), b"\xff" + b"".join(parts), accounts)


def transfer_checked_with_fee(
    source: Pubkey, mint: Pubkey, destination: Pubkey, owner: Pubkey, amount: int, decimals: int, fee: int
) -> Instruction:
    """A Token-2022 transfer that states the fee it expects to be withheld, in base units."""
    data = bytes([26, 1]) + amount.to_bytes(8, "little") + bytes([decimals]) + fee.to_bytes(8, "little")
    return Instruction(
        Pubkey.from_string(TOKEN_2022_PROGRAM),
        data,
        [_writable(source), _read_only(mint), _writable(destination), _signer(owner)],
    )


def recover_nested(wallet: Pubkey, mint: Pubkey, nested_mint: Pubkey) -> Instruction:
    """Bring home what lies on an associated account that belongs to `wallet`'s associated account of `mint`.

    The associated token account program moves it by an inner `TransferChecked`, then closes the account.
    """
    owner_account = get_associated_token_address(wallet, mint)
    nested = get_associated_token_address(owner_account, nested_mint)
    destination = get_associated_token_address(wallet, nested_mint)
    return Instruction(
        Pubkey.from_string(ASSOCIATED_TOKEN_PROGRAM),
        b"\x02",
        [
            _writable(nested),
            _read_only(nested_mint),
            _writable(destination),
            _read_only(owner_account),
            _read_only(mint),
            AccountMeta(wallet, is_signer=True, is_writable=True),
            _read_only(Pubkey.from_string(TOKEN_PROGRAM)),
        ],
    )


def _writable(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, is_signer=False, is_writable=True)


def _read_only(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, is_signer=False, is_writable=False)


def _signer(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, is_signer=True, is_writable=False)
