"""The node's answers, as msgspec reads them. Source: the JSON-RPC reference, getTransaction and getBlock."""

import binascii
from typing import Annotated, Any

import msgspec
from solders.transaction import VersionedTransaction

from chain.base58 import b58decode


class MalformedAnswerError(ValueError):
    """A node's answer does not have the form that its protocol promises."""


Index = Annotated[int, msgspec.Meta(ge=0)]
# There are fewer lamports and slots than half of what 64 bits can count.
Lamports = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Slot = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_U64_MAX = 2**64 - 1
_U64_DIGITS = len(str(_U64_MAX))


class _Wire(msgspec.Struct, rename="camel", gc=False):
    pass


class TokenAmount(_Wire):
    """`amount` is in base units, as a decimal string."""

    # That it is a number is checked by `base_units`: a pattern here made reading an answer take half as long again.
    amount: str
    decimals: Annotated[int, msgspec.Meta(ge=0, le=255)]

    @property
    def base_units(self) -> int:
        """The amount. Raises MalformedAnswerError where it is no number, or more than a token account can hold."""
        text = self.amount
        if not (text.isascii() and text.isdigit() and len(text) <= _U64_DIGITS and (amount := int(text)) <= _U64_MAX):
            raise MalformedAnswerError(f"a balance of {text[:80]!r}, which no token account can hold")
        return amount


class TokenBalance(_Wire):
    """The balance of a token account at one end of a transaction."""

    account_index: Index
    mint: str
    ui_token_amount: TokenAmount
    owner: str | None = None
    program_id: str | None = None


class CompiledInstruction(_Wire):
    """An instruction by indexes into the transaction's keys; `data` is base58."""

    program_id_index: Index
    accounts: list[Index]
    data: str


class InnerInstructions(_Wire):
    """What the outer instruction `index` called, flat and in order of appearance."""

    index: Index
    instructions: list[CompiledInstruction]


class LoadedAddresses(_Wire):
    """Keys that came out of address lookup tables."""

    writable: list[str] = []
    readonly: list[str] = []


class Meta(_Wire):
    """What the transaction did, according to the node."""

    err: Any
    pre_balances: list[Lamports]
    post_balances: list[Lamports]
    fee: Lamports = 0
    inner_instructions: list[InnerInstructions] | None = None
    pre_token_balances: list[TokenBalance] | None = None
    post_token_balances: list[TokenBalance] | None = None
    loaded_addresses: LoadedAddresses | None = None


class Header(_Wire):
    """How many of the keys sign, and how many are read-only."""

    num_required_signatures: int
    num_readonly_signed_accounts: int
    num_readonly_unsigned_accounts: int


class JsonMessage(_Wire):
    """A message in `json` encoding."""

    account_keys: list[str]
    header: Header
    instructions: list[CompiledInstruction]


class JsonTransaction(_Wire):
    """A transaction in `json` encoding."""

    signatures: list[str]
    message: JsonMessage


class TransactionResult(_Wire):
    """The result of `getTransaction`, or one element of `getBlock`'s transactions."""

    transaction: JsonTransaction | list[str] | str
    meta: Meta | None
    version: int | str | None = None
    slot: Slot | None = None
    # Nothing depends on it, so nothing may fail on it: some nodes report it in milliseconds, or as text.
    block_time: Any = None


class BlockResult(_Wire):
    """The result of `getBlock`. It does not hold its own slot."""

    transactions: list[TransactionResult]
    parent_slot: int | None = None
    block_time: Any = None


class BlockOfAnything(_Wire):
    """The same before its transactions are looked at, so that each can be good or bad by itself."""

    transactions: list[Any]
    block_time: Any = None


class Instruction(msgspec.Struct, frozen=True, gc=False):
    """An instruction whose accounts are still indexes into the transaction's keys."""

    program_index: int
    accounts: bytes | list[int]
    data: bytes | str
    """Raw, or base58 where nobody has needed it yet."""


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """A transaction's signed part: who signs, which keys it names, what it asks for."""

    signature: str
    static_keys: list[str]
    header: tuple[int, int, int]
    instructions: list[Instruction]


def open_envelope(result: TransactionResult) -> Envelope:
    """Read the transaction itself, in `json`, `base64` or `base58` encoding.

    Raises:
        MalformedAnswerError: It is in none of these, or of a version that is not known.
    """
    transaction = result.transaction
    if isinstance(transaction, JsonTransaction):
        return _from_json(transaction)
    text, encoding = (transaction, "base58") if isinstance(transaction, str) else _labelled(transaction)
    try:
        raw = binascii.a2b_base64(text, strict_mode=True) if encoding == "base64" else b58decode(text)
        parsed = VersionedTransaction.from_bytes(raw)
    except (ValueError, binascii.Error) as error:
        raise MalformedAnswerError(
            f"a transaction (version {result.version}) cannot be read from its {encoding} form: {error}"
        ) from error
    signatures, message = parsed.signatures, parsed.message
    if not signatures:
        raise MalformedAnswerError("a transaction without any signature")
    header = message.header
    return Envelope(
        signature=str(signatures[0]),
        static_keys=[str(key) for key in message.account_keys],
        header=(
            header.num_required_signatures,
            header.num_readonly_signed_accounts,
            header.num_readonly_unsigned_accounts,
        ),
        instructions=[
            Instruction(instruction.program_id_index, instruction.accounts, instruction.data)
            for instruction in message.instructions
        ],
    )


def _labelled(transaction: list[str]) -> tuple[str, str]:
    match transaction:
        case [text, ("base64" | "base58") as encoding]:
            return text, encoding
    raise MalformedAnswerError("a transaction is neither json nor base64 nor base58; ask the node for base64")


def _from_json(transaction: JsonTransaction) -> Envelope:
    message, header = transaction.message, transaction.message.header
    if not transaction.signatures:
        raise MalformedAnswerError("a transaction without any signature")
    return Envelope(
        signature=transaction.signatures[0],
        static_keys=message.account_keys,
        header=(
            header.num_required_signatures,
            header.num_readonly_signed_accounts,
            header.num_readonly_unsigned_accounts,
        ),
        instructions=[Instruction(i.program_id_index, i.accounts, i.data) for i in message.instructions],
    )


__all__ = [
    "BlockOfAnything",
    "BlockResult",
    "CompiledInstruction",
    "Envelope",
    "InnerInstructions",
    "Instruction",
    "MalformedAnswerError",
    "Meta",
    "TokenBalance",
    "TransactionResult",
    "open_envelope",
]
