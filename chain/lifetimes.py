"""How long what we sign can land, and when it can land no more.

What is paid again, or told as failed, is decided by this. So no endpoint's height or slot decides it alone where there
are others; where there is one only, what it says counts as far as it can have happened since we signed.
"""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from chain.asking import GRACE_SECONDS, ask_each
from chain.cluster_rules import BLOCKHASH_LIFETIME_BLOCKS
from chain.rpc import Endpoint, RpcPool

# Whoever signs waits: an endpoint that is slow, or away, is not waited for once another has answered.
_GRACE_SECONDS: Final = 0.5
# What the database holds, with room to count on; an answer beyond that is malformed.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Tip(msgspec.Struct, rename="camel", frozen=True):
    """Slot and height of a newest block."""

    absolute_slot: Count
    block_height: Count

    @property
    def last_valid_block_height(self) -> int:
        """The height beyond which nothing can land that names a blockhash of this block or of one before it."""
        return self.block_height + BLOCKHASH_LIFETIME_BLOCKS


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A recent blockhash, the block height beyond which nothing that names it can land, and the slot it was seen at."""

    blockhash: str
    last_valid_block_height: int
    slot: int


@dataclass(frozen=True, slots=True)
class Life:
    """How long something that we signed can land.

    Attributes:
        last_valid_block_height: Beyond it, finalized, it cannot.
        signed_slot: The newest slot that was seen when it was signed; `None` where that was not kept.
        age_seconds: How long ago it was signed, at least.
    """

    last_valid_block_height: int
    signed_slot: int | None
    age_seconds: float

    def is_over(self, tip: Tip, block_seconds_min: float) -> bool:
        """Whether the finalized `tip` is beyond the end of it.

        A height alone may be a lie. No block takes less than a slot, nor less than `block_seconds_min`, so that the
        blocks of a lifetime take as many slots and so much time.
        """
        return (
            self.last_valid_block_height < tip.block_height
            and (self.signed_slot is None or self.signed_slot + BLOCKHASH_LIFETIME_BLOCKS < tip.absolute_slot)
            and self.age_seconds >= BLOCKHASH_LIFETIME_BLOCKS * block_seconds_min
        )

    def is_doubtful(self, tip: Tip) -> bool:
        """Whether it ends so late that somebody may have lied when it was signed: see `newest_of_all`."""
        late = tip.last_valid_block_height + BLOCKHASH_LIFETIME_BLOCKS
        late_slot = tip.absolute_slot + BLOCKHASH_LIFETIME_BLOCKS
        return self.last_valid_block_height > late or (self.signed_slot or 0) > late_slot


async def latest_blockhash(pool: RpcPool) -> Lifetime:
    """A blockhash that the cluster has voted for.

    A node may be wrong about the height at which it ends, but nothing outlives 150 blocks from now. One that is ahead
    of all that say where they are is believed as far as another lifetime.
    """
    answer = await _blockhash(pool)
    return _lifetime(answer, await newest_tip(pool))


async def latest_blockhash_of_all(pool: RpcPool) -> Lifetime | None:
    """As `latest_blockhash`, of enough endpoints to believe its end: none of them alone has it end too early.

    `None` where too few answer.

    Raises:
        RpcError: No endpoint answers.
    """
    answer = await _blockhash(pool)
    newest = await newest_of_all(pool)
    return None if newest is None else _lifetime(answer, newest)


async def _blockhash(pool: RpcPool) -> "_BlockhashAnswer":
    answer: _BlockhashAnswer = await pool.call("getLatestBlockhash", [{"commitment": "confirmed"}], _BlockhashAnswer)
    return answer


def _lifetime(answer: "_BlockhashAnswer", newest: Tip) -> Lifetime:
    last = max(answer.value.last_valid_block_height, newest.last_valid_block_height)
    last = min(last, newest.last_valid_block_height + BLOCKHASH_LIFETIME_BLOCKS)
    # Whoever gave the blockhash was at that slot by then, whatever is said of the newest one.
    return Lifetime(answer.value.blockhash, last, max(answer.context.slot, newest.absolute_slot))


async def newest_tip(pool: RpcPool) -> Tip:
    """The highest slot and height that an endpoint answers: nothing that is signed now outlives what follows them.

    Raises:
        RpcError: No endpoint answers.
    """
    newest = await _newest(pool, enough=1, grace_seconds=_GRACE_SECONDS)
    assert newest is not None, "one answers, or this has failed"
    return newest


async def newest_of_all(pool: RpcPool) -> Tip | None:
    """As `newest_tip`, of enough endpoints to believe them: nothing that was signed before can end later than it says.

    `None` where too few answer. What one of them said wrongly when something was signed is corrected by it.

    Raises:
        RpcError: No endpoint answers.
    """
    return await _newest(pool, enough=pool.agreeing_min)


async def finalized_tip(pool: RpcPool) -> Tip | None:
    """The lowest height of a newest finalized block, at the highest slot, that an endpoint answers.

    What can land no more is decided by it. So a node that is ahead, or says that it is, decides nothing alone; `None`
    where too few answer to decide anything.

    Raises:
        RpcError: No endpoint answers.
    """
    return (await finalized_tip_of(pool)).tip


@dataclass(frozen=True, slots=True)
class FinalizedTip:
    """What `finalized_tip` answers, and the endpoints that say they are further than enough of the others can be.

    `near` are those that are not, where enough answer to say so.
    """

    tip: Tip | None
    far_ahead: frozenset[str]
    near: frozenset[str] = frozenset()


async def finalized_tip_of(pool: RpcPool) -> FinalizedTip:
    """As `finalized_tip`, with the names of those that are far ahead of the others.

    Raises:
        RpcError: No endpoint answers.
    """
    said = await _tips(pool, "finalized", enough=pool.agreeing_min)
    if len(said) < pool.agreeing_min:
        return FinalizedTip(None, frozenset())
    slots, heights = [tip.absolute_slot for _, tip in said], [tip.block_height for _, tip in said]
    place = pool.agreeing_min - 1
    slot_max = sorted(slots, reverse=True)[place] + BLOCKHASH_LIFETIME_BLOCKS
    height_max = sorted(heights, reverse=True)[place] + BLOCKHASH_LIFETIME_BLOCKS
    far = {name for name, tip in said if tip.absolute_slot > slot_max or tip.block_height > height_max}
    near = {name for name, _ in said} - far
    return FinalizedTip(Tip(max(slots), min(heights)), frozenset(far), frozenset(near))


async def _newest(pool: RpcPool, *, enough: int, grace_seconds: float = GRACE_SECONDS) -> Tip | None:
    """The highest slot and height that an endpoint answers; `None` where fewer than `enough` do."""
    said = await _tips(pool, "processed", enough=enough, grace_seconds=grace_seconds)
    if len(said) < enough:
        return None
    return Tip(max(tip.absolute_slot for _, tip in said), max(tip.block_height for _, tip in said))


async def _tips(
    pool: RpcPool, commitment: str, *, enough: int, grace_seconds: float = GRACE_SECONDS
) -> list[tuple[str, Tip]]:
    """What endpoints say, by name, one at least; once `enough` have, those are left out that take longer than that."""

    async def ask(endpoint: Endpoint) -> tuple[str, Tip]:
        tip: Tip = await pool.call("getEpochInfo", [{"commitment": commitment}], Tip, attempts=2, at=endpoint)
        # No block without a slot: whoever says more is believed as far as it can be.
        return endpoint.name, Tip(tip.absolute_slot, min(tip.block_height, tip.absolute_slot))

    tips, errors = await ask_each(pool, ask, enough=enough, grace_seconds=grace_seconds)
    if not tips:
        raise errors[0]
    return tips


class _Blockhash(msgspec.Struct, rename="camel"):
    blockhash: str
    last_valid_block_height: Count


class _Context(msgspec.Struct):
    slot: Count


class _BlockhashAnswer(msgspec.Struct):
    context: _Context
    value: _Blockhash
