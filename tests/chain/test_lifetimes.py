"""When what we signed can land no more: by height, by slots and by time, none of which a lone node may make up."""

import pytest

from chain.cluster_rules import SLOT_SECONDS
from chain.lifetimes import (
    Life,
    Tip,
    finalized_tip,
    finalized_tip_of,
    latest_blockhash,
    latest_blockhash_of_all,
    newest_of_all,
    newest_tip,
)
from chain.rpc import RpcError
from runtime.settings import SolanaSettings
from tests.support.scripted_nodes import QUICK, Reply, pooled

LIFE = Life(last_valid_block_height=1_150, signed_slot=2_000, age_seconds=60.0)


@pytest.mark.parametrize(
    ("life", "tip", "is_over"),
    [
        (LIFE, Tip(2_151, 1_151), True),
        (LIFE, Tip(2_151, 1_150), False),
        (LIFE, Tip(2_150, 1_151), False),
        (LIFE, Tip(1, 10**9), False),
        (Life(1_150, None, 60.0), Tip(1, 1_151), True),
        (Life(1_150, 2_000, 59.9), Tip(2_151, 1_151), False),
    ],
)
def test_a_life_is_over(life, tip, is_over):
    assert life.is_over(tip, SLOT_SECONDS) is is_over


def test_only_a_local_chain_goes_faster_than_the_public_ones():
    assert SolanaSettings(SOLANA_NETWORK="localnet").block_seconds_min == 0.0
    for network in ("mainnet-beta", "devnet", "testnet"):
        assert SolanaSettings(SOLANA_NETWORK=network).block_seconds_min == SLOT_SECONDS


def test_what_ends_too_late_is_doubtful():
    tip = Tip(2_000, 1_000)
    assert not Life(1_300, 2_150, 0.0).is_doubtful(tip)
    assert Life(1_301, 2_150, 0.0).is_doubtful(tip)
    assert Life(1_300, 2_151, 0.0).is_doubtful(tip)


def said(slot, height):
    return [Reply({"absoluteSlot": slot, "blockHeight": height})]


AWAY = [Reply(status=503)]


@pytest.mark.parametrize(
    ("scripts", "finalized", "newest"),
    [
        ([said(20, 10)], Tip(20, 10), Tip(20, 10)),
        ([said(20, 10), said(21, 9)], Tip(21, 9), Tip(21, 10)),
        ([said(20, 10), AWAY], None, None),
        ([said(20, 10), said(12, 10**9)], Tip(20, 10), Tip(20, 12)),
        ([said(20, 10), said(21, 11), AWAY], Tip(21, 10), Tip(21, 11)),
    ],
)
async def test_two_endpoints_are_asked_where_there_are_two(scripts, finalized, newest):
    async with pooled(*scripts, limits=QUICK) as (_, rpc):
        assert await finalized_tip(rpc) == finalized
        assert await newest_of_all(rpc) == newest


async def test_one_endpoint_decides_where_one_witness_is_enough():
    async with pooled(said(20, 10), AWAY, limits=QUICK, witnesses=1) as (_, rpc):
        assert await finalized_tip(rpc) == Tip(20, 10)
        assert await newest_of_all(rpc) == Tip(20, 10)


@pytest.mark.parametrize("odd", [said(-1, 0), said(2**64, 5), said(5, 2**63), said("5", "5"), AWAY])
async def test_where_nobody_says_what_can_be_nothing_is_known(odd):
    async with pooled(odd, limits=QUICK) as (_, rpc):
        for ask in (finalized_tip, newest_of_all, newest_tip):
            with pytest.raises(RpcError):
                await ask(rpc)


async def test_whoever_signs_does_not_wait_for_a_node_that_stalls():
    async with pooled(said(20, 10), [Reply(stall=True)]) as (_, rpc):
        assert await newest_tip(rpc) == Tip(20, 10)


@pytest.mark.parametrize(("last", "ends"), [(1, 160), (155, 160), (200, 200), (10**15, 310)])
@pytest.mark.parametrize("slot", [1, 20, 25])
async def test_what_a_node_says_of_the_end_of_a_blockhash_is_bounded(last, ends, slot):
    """The slot from which its life is counted is the newest that anybody names, the blockhash's own included."""
    script = [
        Reply({"context": {"slot": slot}, "value": {"blockhash": "1" * 32, "lastValidBlockHeight": last}}),
        Reply({"absoluteSlot": 20, "blockHeight": 10}),
    ]
    async with pooled(script) as (_, rpc):
        lifetime = await latest_blockhash(rpc)
    assert (lifetime.last_valid_block_height, lifetime.slot) == (ends, max(slot, 20))


@pytest.mark.parametrize(("other", "ends"), [(said(21, 11), 161), (AWAY, None)])
async def test_one_of_two_endpoints_does_not_say_alone_when_a_blockhash_ends(other, ends):
    blockhash = Reply({"context": {"slot": 1}, "value": {"blockhash": "1" * 32, "lastValidBlockHeight": 1}})
    async with pooled([blockhash, *said(1, 1)], other, limits=QUICK) as (_, rpc):
        lifetime = await latest_blockhash_of_all(rpc)
    assert (lifetime and lifetime.last_valid_block_height) == ends


@pytest.mark.parametrize(
    ("scripts", "are_ahead"),
    [
        ([said(2_000, 1_000)], 0),
        ([said(2_000, 1_000), said(2_150, 1_150)], 0),
        ([said(2_000, 1_000), said(2_151, 1_000)], 1),
        ([said(2_000, 1_000), said(2_000, 1_151)], 1),
        ([said(2_000, 1_000), said(2_010, 1_010), said(10**9, 10**9)], 1),
    ],
)
async def test_who_is_far_ahead_of_the_others_is_named(scripts, are_ahead):
    async with pooled(*scripts) as (_, rpc):
        assert len((await finalized_tip_of(rpc)).far_ahead) == are_ahead
