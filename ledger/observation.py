"""What one transaction did, as the ledger understands it.

Amounts are integers in base units of their token (lamports for SOL). Addresses and signatures are base58.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """How an instruction moved tokens.

    The first four take from one account and give to another: they can be payments. The others change a
    single account, and are kept because the ledger has to account for every base unit.
    """

    TRANSFER = "transfer"
    TRANSFER_CHECKED = "transferChecked"
    TRANSFER_CHECKED_WITH_FEE = "transferCheckedWithFee"
    NATIVE_TRANSFER = "nativeTransfer"
    MINT = "mintTo"
    BURN = "burn"
    WRAP = "wrap"
    """Lamports found on a wrapped-SOL account when it was initialized or synced."""
    CLOSE = "closeAccount"
    """A wrapped-SOL account was closed: its whole balance left as lamports."""
    UNWRAP = "unwrapLamports"
    WITHDRAW_WITHHELD = "withdrawWithheld"
    """Token-2022 transfer fees paid out to an account of the mint's choice."""


TRANSFER_KINDS = frozenset({Kind.TRANSFER, Kind.TRANSFER_CHECKED, Kind.TRANSFER_CHECKED_WITH_FEE, Kind.NATIVE_TRANSFER})


class Movement(Struct, frozen=True, gc=False):
    """Tokens moved by one instruction.

    Attributes:
        path: The instruction's place: outer index, inner index, index in a batch, joined by dots.
        kind: How it moved.
        program: The program that moved it.
        mint: What moved; `None` only where nothing in the transaction says, which is also reported as
            unexplained.
        source: The account it left; `None` for what came from no token account (mint, wrap).
        destination: The account it reached; `None` for what went to no token account (burn, close).
        source_owner: The wallet that owned `source` at that moment; `source` itself for native SOL.
        destination_owner: The wallet that owned `destination` at that moment.
        authority: Who allowed it: the owner, its delegate, or the mint's authority.
        amount: What the source lost, in base units.
        fee: What Token-2022 withheld from it, in base units: the destination gained `amount - fee`.
        references: Read-only extra accounts on the instruction (Solana Pay reference keys).
    """

    path: str
    kind: Kind
    program: str
    mint: str | None
    source: str | None
    destination: str | None
    source_owner: str | None
    destination_owner: str | None
    authority: str | None
    amount: int
    fee: int = 0
    references: tuple[str, ...] = ()


class BalanceChange(Struct, frozen=True, gc=False):
    """The balance of one token account, or of one wallet in lamports, before and after a transaction.

    An account that did not exist before, or does not exist after, has a balance of 0 there.
    """

    account: str
    owner: str | None
    mint: str
    program: str | None
    decimals: int
    pre: int
    post: int
    existed: bool = True
    exists: bool = True


class Unexplained(Struct, frozen=True, gc=False):
    """A balance change that the decoded movements do not add up to.

    `difference` is `post - pre` less the movements, in base units. `account` is `None` where no account is named.
    """

    account: str | None
    mint: str | None
    difference: int
    reason: str


class Observation(Struct, frozen=True, gc=False):
    """Everything the ledger wants to know about one transaction.

    Attributes:
        signature: The transaction's first signature.
        slot: Where it landed; `None` where the node's answer does not say (a bare `getBlock` result).
        block_time_seconds: The node's estimate of the time, in seconds since 1970; may be absent or wrong.
        error: The node's error object, `None` for success. A failed transaction has no movements.
        movements: In order of execution.
        balances: One per token account that the transaction names, changed or not.
        lamports: Before and after, by account, for every account that the transaction names, changed or not.
        memos: Texts of the memo program, in order.
        unexplained: Where movements and balances disagree; empty for nearly every transaction.
    """

    signature: str
    slot: int | None
    block_time_seconds: int | None
    error: object | None
    movements: tuple[Movement, ...]
    balances: tuple[BalanceChange, ...]
    lamports: Mapping[str, tuple[int, int]]
    memos: tuple[str, ...] = ()
    unexplained: tuple[Unexplained, ...] = ()

    @property
    def failed(self) -> bool:
        """True when the transaction paid its fee and did nothing else."""
        return self.error is not None

    @property
    def transfers(self) -> Iterator[Movement]:
        """The movements from one account to another: those that can be payments."""
        return (movement for movement in self.movements if movement.kind in TRANSFER_KINDS)

    @property
    def references(self) -> tuple[str, ...]:
        """Reference keys of all transfers, each once, in order of appearance."""
        return tuple(dict.fromkeys(key for movement in self.movements for key in movement.references))
