"""Signing exported payouts on a machine that has neither database nor node: only what a line says is ever signed.

The machine that exported may be in wrong hands. So the message itself is read, and refused where it does anything but
pay the named amount of the named token to the named recipient. One that lives by a nonce account advances that account
first, which is the one that the line names.
"""

import base64
from typing import Final

import msgspec
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from chain import programs
from chain.cluster_rules import MICROLAMPORTS
from chain.instruction_layouts import UNIT_LIMIT, UNIT_PRICE, read_checked_transfer, read_compute_budget
from chain.nonces import is_advance, is_advance_only, nonce_account_of
from chain.sending import associated_account
from ledger.tokens import NATIVE_SOL

_TRANSFER_LAMPORTS: Final = (2).to_bytes(4, "little")
_CREATE_IDEMPOTENT: Final = b"\x01"
_COMPUTE_UNITS_MAX: Final = 1_400_000
_PRIORITY_FEE_LAMPORTS_MAX: Final = 10_000_000
"""What is signed away for being taken first, at most: a hundredth of a SOL."""


class NotSignedError(Exception):
    """A line was not signed; the message says why, as the end of a sentence."""


class ExportedLine(msgspec.Struct):
    """A line of `pay402 payouts export`; `amount` is in base units."""

    payout: str
    wallet: str
    recipient: str
    mint: str
    amount: int
    transaction: str | None = None
    nonce_account: str | None = None
    waits_for: str | None = None


class VoidLine(msgspec.Struct):
    """A line of `pay402 payouts nonce void`: what was signed under the account's value is never to land."""

    void: str
    wallet: str
    transaction: str


class Voided(msgspec.Struct, frozen=True):
    """What was signed: it advances `nonce_account` and does nothing else."""

    nonce_account: str
    transaction: str


class Signed(msgspec.Struct, frozen=True):
    """What was signed: `gross` base units leave the wallet for the token account, or wallet, `destination`."""

    payout: str
    recipient: str
    destination: str
    mint: str
    gross: int
    transaction: str
    nonce_account: str | None = None


def sign_void(text: str, keypair: Keypair) -> Voided | None:
    """Sign a line that advances a nonce account; `None` for any other line.

    Raises:
        NotSignedError: Its message does anything else.
    """
    try:
        line = msgspec.json.decode(text, type=VoidLine)
    except msgspec.DecodeError:
        return None
    try:
        message = Transaction.from_bytes(base64.b64decode(line.transaction, validate=True)).message
        is_void = is_advance_only(message) and nonce_account_of(message) == line.void
    except Exception:  # noqa: BLE001 - solders has a class of its own for each kind of malformed bytes
        raise NotSignedError("its transaction cannot be read") from None
    if not is_void:
        raise NotSignedError(f"it does anything else than advance the nonce account {line.void}")
    if message.account_keys[0] != keypair.pubkey():
        raise NotSignedError(f"it is to be signed by {message.account_keys[0]}, which is not the key that was given")
    signed = Transaction([keypair], message, message.recent_blockhash)
    return Voided(line.void, base64.b64encode(bytes(signed)).decode())


def sign_exported(text: str, keypair: Keypair, *, any_account: bool = False) -> Signed | None:
    """Sign the transaction of a line; `None` for a line without one.

    Args:
        text: The line.
        keypair: The key of the wallet that pays.
        any_account: True to sign for a token account that is not the recipient's associated one. Whose it is cannot be
            seen without a node.

    Raises:
        NotSignedError: It is no such line, or its message does anything else than the line says.
    """
    try:
        line = msgspec.json.decode(text, type=ExportedLine)
    except msgspec.DecodeError:
        raise NotSignedError("it is no line of `pay402 payouts export`") from None
    if line.transaction is None:
        return None
    try:
        message = Transaction.from_bytes(base64.b64decode(line.transaction, validate=True)).message
        destination, gross = _movement(message, line, keypair.pubkey())
        own = associated_account(line.recipient, line.mint, _program(message, line.mint))
    except NotSignedError:
        raise
    except Exception:  # noqa: BLE001 - solders has a class of its own for each kind of malformed bytes
        raise NotSignedError("its transaction or an address in it cannot be read") from None
    if destination != own and not any_account:
        raise NotSignedError(
            f"it pays into {destination}, which is not the associated account of {line.recipient}; look whose it is"
        )
    signed = Transaction([keypair], message, message.recent_blockhash)
    wire = base64.b64encode(bytes(signed)).decode()
    return Signed(line.payout, line.recipient, destination, line.mint, gross, wire, line.nonce_account)


def _movement(message: Message, line: ExportedLine, signer: Pubkey) -> tuple[str, int]:
    """The destination and the amount of the one transfer of a message that does nothing else."""
    keys = [str(key) for key in message.account_keys]
    if message.header.num_required_signatures != 1 or keys[0] != line.wallet or keys[0] != str(signer):
        raise NotSignedError(f"it is to be signed by {keys[0]} and nobody else, which is not the key that was given")
    moves = []
    bid = {UNIT_LIMIT: _COMPUTE_UNITS_MAX, UNIT_PRICE: 0}
    for instruction in message.instructions[_advances(message, keys, line) :]:
        program, data = keys[instruction.program_id_index], bytes(instruction.data)
        accounts = [keys[index] for index in instruction.accounts]
        if (budget := read_compute_budget(program, data)) is not None:
            bid[budget[0]] = budget[1]
        elif program != programs.MEMO_PROGRAM and not _opens_account(program, data, accounts, line):
            moves.append(_transfer(program, data, accounts, line))
    priority_fee = bid[UNIT_LIMIT] * bid[UNIT_PRICE] // MICROLAMPORTS
    if priority_fee > _PRIORITY_FEE_LAMPORTS_MAX:
        raise NotSignedError(f"it offers {priority_fee} lamports for being taken first")
    if len(moves) != 1:
        raise NotSignedError(f"it makes {len(moves)} transfers instead of one")
    destination, gross = moves[0]
    if not 0 < gross <= line.amount:
        raise NotSignedError(f"it pays {gross} base units, and the line says {line.amount}")
    return destination, gross


def _advances(message: Message, keys: list[str], line: ExportedLine) -> int:
    """How many instructions advance the nonce account that the line names: the first, or none where it names none.

    One that stands elsewhere is refused like any other that no payout has: it would not make the message live by it.
    """
    if line.nonce_account is None:
        return 0
    first = message.instructions[0]
    accounts = [keys[index] for index in first.accounts]
    if not is_advance(keys[first.program_id_index], bytes(first.data), accounts, line.nonce_account, line.wallet):
        raise NotSignedError(f"it does not begin by advancing the nonce account {line.nonce_account}, as the line says")
    return 1


def _opens_account(program: str, data: bytes, accounts: list[str], line: ExportedLine) -> bool:
    """Whether it makes the recipient's associated account, and nothing else."""
    is_creation = program == programs.ASSOCIATED_TOKEN_PROGRAM and data == _CREATE_IDEMPOTENT
    return is_creation and accounts[2:4] == [line.recipient, line.mint]


def _transfer(program: str, data: bytes, accounts: list[str], line: ExportedLine) -> tuple[str, int]:
    if line.mint == NATIVE_SOL and program == programs.SYSTEM_PROGRAM and data[:4] == _TRANSFER_LAMPORTS:
        # For native SOL the wallet is its own account.
        if accounts[0] != line.wallet:
            raise NotSignedError("it moves other tokens than the line says")
        return accounts[1], int.from_bytes(data[4:12], "little")
    moved = read_checked_transfer(program, data, accounts)
    if moved is None:
        raise NotSignedError(f"it calls the program {program} in a way that no payout does")
    is_of_line = moved.mint == line.mint and moved.authority == line.wallet
    if not is_of_line or moved.source != associated_account(line.wallet, moved.mint, program):
        raise NotSignedError("it moves other tokens than the line says")
    return moved.destination, moved.amount


def _program(message: Message, mint: str) -> str:
    """The token program that the message calls; for native SOL the System program."""
    if mint == NATIVE_SOL:
        return programs.SYSTEM_PROGRAM
    called = {str(message.account_keys[one.program_id_index]) for one in message.instructions}
    return next(program for program in programs.TOKEN_PROGRAMS if program in called)
