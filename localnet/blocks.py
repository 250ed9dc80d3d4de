"""What a block is, and what a node at some commitment can see."""

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from solders.account import Account
from solders.hash import Hash
from solders.pubkey import Pubkey

from localnet.encoding import Executed

Commitment = Literal["processed", "confirmed", "finalized"]
COMMITMENTS: Final[tuple[Commitment, ...]] = get_args(Commitment)

# How long a blockhash can sign for, in blocks (not slots).
BLOCKHASH_AGE_BLOCKS_MAX: Final = 150


@dataclass(slots=True, eq=False)
class Block:
    """One block. `blockhash` is known when the block closes; until then the block is open for transactions.

    `height` counts blocks, `slot` counts turns: where a slot was skipped or abandoned they drift apart.
    `time` is in Unix seconds. `before` holds every account the block wrote, as it was when the block opened.
    """

    slot: int
    parent_slot: int
    height: int
    previous_blockhash: Hash
    time: int
    blockhash: Hash | None = None
    transactions: list[Executed] = field(default_factory=list)
    before: dict[Pubkey, Account | None] = field(default_factory=dict)

    @property
    def last_valid_height(self) -> int:
        """The last block height at which this block's blockhash can still land a transaction."""
        return self.height + BLOCKHASH_AGE_BLOCKS_MAX

    @property
    def hash(self) -> Hash:
        """The blockhash of a closed block."""
        assert self.blockhash is not None, "an open block has no hash"
        return self.blockhash


@dataclass(frozen=True, slots=True)
class View:
    """The newest slot at each commitment, as one node sees it."""

    processed: int
    confirmed: int
    finalized: int

    def slot(self, commitment: Commitment) -> int:
        """The newest slot at `commitment`."""
        if commitment == "processed":
            return self.processed
        return self.confirmed if commitment == "confirmed" else self.finalized

    def level(self, slot: int) -> Commitment:
        """How far a transaction of `slot` has climbed."""
        if slot <= self.finalized:
            return "finalized"
        return "confirmed" if slot <= self.confirmed else "processed"
