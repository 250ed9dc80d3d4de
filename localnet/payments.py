"""Payments of every kind that a merchant meets, for the demo and the tests.

Each builder returns the instructions together with the transfers that they mean, so that a ledger can be held
against what payers did and not against what a decoder says.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import CreateAccountParams, create_account
from solders.system_program import TransferParams as LamportParams
from solders.system_program import transfer as transfer_lamports
from solders.transaction import VersionedTransaction
from spl.token import instructions as spl
from spl.token.models import InitializeAccount3Params, SyncNativeParams, TransferCheckedParams, TransferParams

from chain.instructions import batch, recover_nested, transfer_checked_with_fee, with_references
from chain.programs import ADDRESS_LOOKUP_TABLE_PROGRAM, MEMO_PROGRAM, SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from ledger.tokens import NATIVE_SOL, WRAPPED_SOL_MINT
from localnet.genesis import DEVNET_TOKENS, FEE_BASIS_POINTS, FEE_DECIMALS, FEE_MAXIMUM, FEE_MINT

USDC = Pubkey.from_string(next(token.mint for token in DEVNET_TOKENS if token.symbol == "USDC"))
USDT = Pubkey.from_string(next(token.mint for token in DEVNET_TOKENS if token.symbol == "USDT"))
WRAPPED_SOL = Pubkey.from_string(WRAPPED_SOL_MINT)
_SPL, _SPL_2022 = Pubkey.from_string(TOKEN_PROGRAM), Pubkey.from_string(TOKEN_2022_PROGRAM)
_BASIS_POINTS = 10_000
_TOKEN_ACCOUNT_BYTES = 165
_X402_COMPUTE_UNITS = 20_000
_TOKEN_ACCOUNT_RENT_LAMPORTS = 2_039_280


@dataclass(frozen=True, slots=True, order=True)
class Meant:
    """One transfer as its payer means it: from an account to an account, `credited` after any fee."""

    mint: str
    source: str
    destination: str
    credited: int


@dataclass(frozen=True, slots=True)
class Payment:
    """What to sign and send, and what it means when it lands. `signers` come besides the fee payer."""

    kind: str
    instructions: Sequence[Instruction]
    meant: Sequence[Meant]
    signers: Sequence[Keypair] = ()
    tables: Sequence[AddressLookupTableAccount] = field(default=())
    must_fail: bool = False


def token_account(owner: Pubkey, mint: Pubkey) -> Pubkey:
    """The owner's associated token account."""
    return spl.get_associated_token_address(owner, mint, _program(mint))


def withheld_fee(amount: int) -> int:
    """What the fee mint withholds from `amount`, in base units: rounded up, bounded."""
    return min(-(-amount * FEE_BASIS_POINTS // _BASIS_POINTS), FEE_MAXIMUM)


def plain(payer: Pubkey, recipient: Pubkey, amount: int) -> Payment:
    """A `Transfer`, the oldest form: it does not even name its mint."""
    return Payment("plain", [_transfer(payer, recipient, USDC, amount)], [_meant(payer, recipient, USDC, amount)])


def checked(
    payer: Pubkey, recipient: Pubkey, amount: int, reference: Pubkey, memo: str, mint: Pubkey = USDC
) -> Payment:
    """A Solana Pay transfer: `TransferChecked` with a reference key, and a memo before it."""
    note = Instruction(Pubkey.from_string(MEMO_PROGRAM), memo.encode(), [])
    instruction = with_references(_transfer_checked(payer, recipient, mint, amount), [reference])
    return Payment("checked", [note, instruction], [_meant(payer, recipient, mint, amount)])


def over_x402(payer: Pubkey, recipient: Pubkey, amount: int) -> Payment:
    """What published clients of x402 build: limits of compute, `TransferChecked`, memo; another wallet pays the fee."""
    instructions = [
        set_compute_unit_limit(_X402_COMPUTE_UNITS),
        set_compute_unit_price(1),
        _transfer_checked(payer, recipient, USDC, amount),
        Instruction(Pubkey.from_string(MEMO_PROGRAM), secrets.token_hex(16).encode(), []),
    ]
    return Payment("x402", instructions, [_meant(payer, recipient, USDC, amount)])


def batched(payer: Pubkey, recipients: Sequence[Pubkey], amount: int) -> Payment:
    """A p-token `Batch`: its parts show up nowhere else."""
    parts = [_transfer_checked(payer, recipient, USDC, amount + n) for n, recipient in enumerate(recipients)]
    meant = [_meant(payer, recipient, USDC, amount + n) for n, recipient in enumerate(recipients)]
    return Payment("batch", [batch(parts)], meant)


def inner(payer: Keypair, recipient: Keypair, amount: int) -> Payment:
    """Money sent to an account nested below the recipient's, brought home by an inner instruction."""
    between = token_account(recipient.pubkey(), USDT)
    nested = spl.get_associated_token_address(between, USDC, _SPL)
    source, destination = token_account(payer.pubkey(), USDC), token_account(recipient.pubkey(), USDC)
    instructions = [
        spl.create_idempotent_associated_token_account(payer.pubkey(), recipient.pubkey(), USDT),
        spl.create_idempotent_associated_token_account(payer.pubkey(), recipient.pubkey(), USDC),
        spl.create_idempotent_associated_token_account(payer.pubkey(), between, USDC),
        spl.transfer(TransferParams(program_id=_SPL, source=source, dest=nested, owner=payer.pubkey(), amount=amount)),
        recover_nested(recipient.pubkey(), USDT, USDC),
    ]
    meant = [Meant(str(USDC), str(nested), str(destination), amount)]
    return Payment("inner instruction", instructions, meant, signers=[recipient])


def looked_up(payer: Pubkey, recipient: Pubkey, amount: int, table: AddressLookupTableAccount) -> Payment:
    """A payment that names the recipient's account only through an address lookup table."""
    return Payment(
        "lookup table",
        [_transfer_checked(payer, recipient, USDC, amount)],
        [_meant(payer, recipient, USDC, amount)],
        tables=[table],
    )


def with_fee(payer: Pubkey, recipient: Pubkey, amount: int, *, stated: bool) -> Payment:
    """A Token-2022 transfer of which a fee is withheld; `stated` in the instruction or not."""
    source, destination = token_account(payer, FEE_MINT), token_account(recipient, FEE_MINT)
    fee = withheld_fee(amount)
    instruction = (
        transfer_checked_with_fee(source, FEE_MINT, destination, payer, amount, FEE_DECIMALS, fee)
        if stated
        else _transfer_checked(payer, recipient, FEE_MINT, amount)
    )
    meant = [Meant(str(FEE_MINT), str(source), str(destination), amount - fee)]
    return Payment("Token-2022 with fee", [instruction], meant)


def wrapped_sol(payer: Pubkey, recipient: Pubkey, lamports: int) -> Payment:
    """Lamports wrapped in the same transaction and paid as a token."""
    account = token_account(payer, WRAPPED_SOL)
    instructions = [
        spl.create_idempotent_associated_token_account(payer, payer, WRAPPED_SOL),
        transfer_lamports(LamportParams(from_pubkey=payer, to_pubkey=account, lamports=lamports)),
        spl.sync_native(SyncNativeParams(program_id=_SPL, account=account)),
        spl.create_idempotent_associated_token_account(payer, recipient, WRAPPED_SOL),
        _transfer_checked(payer, recipient, WRAPPED_SOL, lamports),
    ]
    return Payment("wrapped SOL", instructions, [_meant(payer, recipient, WRAPPED_SOL, lamports)])


def native_sol(payer: Pubkey, recipient: Pubkey, lamports: int) -> Payment:
    """Plain lamports, by the system program."""
    instruction = transfer_lamports(LamportParams(from_pubkey=payer, to_pubkey=recipient, lamports=lamports))
    return Payment("native SOL", [instruction], [Meant(NATIVE_SOL, str(payer), str(recipient), lamports)])


def several(payer: Pubkey, recipients: Sequence[Pubkey], amount: int) -> Payment:
    """Several jobs paid in one transaction, two of them by equal transfers to one recipient."""
    instructions = [_transfer(payer, recipients[0], USDC, amount) for _ in range(2)]
    instructions += [_transfer_checked(payer, recipient, USDC, amount + 1) for recipient in recipients]
    meant = [_meant(payer, recipients[0], USDC, amount) for _ in range(2)]
    meant += [_meant(payer, recipient, USDC, amount + 1) for recipient in recipients]
    return Payment("several in one", instructions, meant)


def new_account(payer: Pubkey, recipient: Pubkey, amount: int) -> Payment:
    """A payment that opens the recipient's account for its mint."""
    instructions = [
        spl.create_idempotent_associated_token_account(payer, recipient, USDT),
        _transfer_checked(payer, recipient, USDT, amount),
    ]
    return Payment("new account", instructions, [_meant(payer, recipient, USDT, amount)])


def signed_by_payer(payment: Payment, payer: Keypair, fee_payer: Pubkey, blockhash: Hash) -> bytes:
    """The transaction of a payment whose fee another wallet pays, with the place of that one's signature left empty."""
    message = MessageV0.try_compile(fee_payer, payment.instructions, [], blockhash)
    signature = payer.sign_message(to_bytes_versioned(message))
    return bytes(VersionedTransaction.populate(message, [Signature.default(), signature]))


def hidden_account(payer: Pubkey, owner: Pubkey, account: Keypair) -> Payment:
    """A token account opened for `owner` whose opening does not name the owner among its accounts."""
    instructions = [
        create_account(
            CreateAccountParams(
                from_pubkey=payer,
                to_pubkey=account.pubkey(),
                lamports=_TOKEN_ACCOUNT_RENT_LAMPORTS,
                space=_TOKEN_ACCOUNT_BYTES,
                owner=_SPL,
            )
        ),
        spl.initialize_account3(
            InitializeAccount3Params(program_id=_SPL, account=account.pubkey(), mint=USDC, owner=owner)
        ),
    ]
    return Payment("hidden account", instructions, [], signers=[account])


def to_account(payer: Pubkey, account: Pubkey, amount: int) -> Payment:
    """A payment straight to a token account."""
    source = token_account(payer, USDC)
    instruction = spl.transfer(TransferParams(program_id=_SPL, source=source, dest=account, owner=payer, amount=amount))
    return Payment("to an account", [instruction], [Meant(str(USDC), str(source), str(account), amount)])


def failing(payer: Pubkey, recipient: Pubkey, amount: int) -> Payment:
    """A good transfer beside one that nobody can afford: neither happens."""
    instructions = [
        _transfer(payer, recipient, USDC, amount),
        _transfer(payer, recipient, USDC, 2**63),
    ]
    return Payment("failed", instructions, [], must_fail=True)


def create_lookup_table(
    authority: Pubkey, recent_slot: int, addresses: Sequence[Pubkey]
) -> tuple[list[Instruction], AddressLookupTableAccount]:
    """Instructions that create and fill a lookup table; it can be used from the next slot on.

    Source: the address lookup table program: 0 creates [u32, recent slot u64, bump u8], 2 extends [u32, count
    u64, addresses].
    """
    program = Pubkey.from_string(ADDRESS_LOOKUP_TABLE_PROGRAM)
    seed = recent_slot.to_bytes(8, "little")
    table, bump = Pubkey.find_program_address([bytes(authority), seed], program)
    accounts = [
        AccountMeta(table, is_signer=False, is_writable=True),
        AccountMeta(authority, is_signer=True, is_writable=False),
        AccountMeta(authority, is_signer=True, is_writable=True),
        AccountMeta(Pubkey.from_string(SYSTEM_PROGRAM), is_signer=False, is_writable=False),
    ]
    create = Instruction(program, (0).to_bytes(4, "little") + seed + bytes([bump]), accounts)
    data = (2).to_bytes(4, "little") + len(addresses).to_bytes(8, "little") + b"".join(map(bytes, addresses))
    extend = Instruction(program, data, accounts)
    return [create, extend], AddressLookupTableAccount(table, list(addresses))


def _program(mint: Pubkey) -> Pubkey:
    return _SPL_2022 if mint == FEE_MINT else _SPL


def _decimals(mint: Pubkey) -> int:
    return 9 if mint == WRAPPED_SOL else FEE_DECIMALS


def _meant(payer: Pubkey, recipient: Pubkey, mint: Pubkey, credited: int) -> Meant:
    return Meant(str(mint), str(token_account(payer, mint)), str(token_account(recipient, mint)), credited)


def _transfer(payer: Pubkey, recipient: Pubkey, mint: Pubkey, amount: int) -> Instruction:
    return spl.transfer(
        TransferParams(
            program_id=_program(mint),
            source=token_account(payer, mint),
            dest=token_account(recipient, mint),
            owner=payer,
            amount=amount,
        )
    )


def _transfer_checked(payer: Pubkey, recipient: Pubkey, mint: Pubkey, amount: int) -> Instruction:
    return spl.transfer_checked(
        TransferCheckedParams(
            program_id=_program(mint),
            source=token_account(payer, mint),
            mint=mint,
            dest=token_account(recipient, mint),
            owner=payer,
            amount=amount,
            decimals=_decimals(mint),
        )
    )
