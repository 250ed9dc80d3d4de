"""Walking a history whose answers lie: whatever looks like its end is the end, or it is an error, never a gap."""

import random

import pytest

from chain.node import SignatureInfo
from indexer.history import IncompleteHistoryError, walk

ACCOUNT = "account"
PAGE = 4


def line(name, slot):
    return SignatureInfo(signature=name, slot=slot, err=None, confirmation_status="finalized")


# Newest first, several of them in one slot.
HISTORY = [line(f"s{n:02}", 100 - n // 3) for n in range(11)]


class Histories:
    """A node whose answer to each question a test may spoil.

    A fake, because each lie has to come at one exact question; the localnet tells them at random.
    """

    def __init__(self, *spoil, history=None):
        self.history = HISTORY if history is None else history
        self.spoil = list(spoil)
        self.asked = []

    async def signatures(self, account, *, before=None, min_context_slot=None):
        assert account == ACCOUNT
        self.asked.append(before)
        names = [info.signature for info in self.history]
        if before is not None and before not in names:
            page = []
        else:
            start = 0 if before is None else names.index(before) + 1
            page = self.history[start : start + PAGE]
        spoil = self.spoil.pop(0) if len(self.spoil) > 1 else self.spoil[0] if self.spoil else None
        return spoil(page) if spoil else page


def whole(page):
    return page


def nothing(_):
    return []


def one(page):
    return page[:1]


def two(page):
    return page[:2]


async def walked(node, lower_slot=0, must_see=None):
    return [info.signature async for page in walk(node, ACCOUNT, lower_slot, must_see, None) for info in page]


ALL = [info.signature for info in HISTORY]


@pytest.mark.parametrize("length", range(len(HISTORY) + 1))
async def test_the_whole_history_each_line_once(length):
    assert await walked(Histories(history=HISTORY[:length])) == ALL[:length]


async def test_down_to_a_slot_and_all_of_it():
    lower_slot = HISTORY[5].slot
    assert await walked(Histories(), lower_slot) == [info.signature for info in HISTORY if info.slot >= lower_slot]


@pytest.mark.parametrize("cut", [one, two])
@pytest.mark.parametrize("length", [1, 2, 5, len(HISTORY)])
async def test_pages_that_are_all_cut_short_are_no_end(cut, length):
    assert await walked(Histories(cut, history=HISTORY[:length])) == ALL[:length]


@pytest.mark.parametrize("at", range(8))
@pytest.mark.parametrize("cut", [one, two])
async def test_one_page_cut_short_is_no_end(cut, at):
    assert await walked(Histories(*[whole] * at, cut, whole)) == ALL


@pytest.mark.parametrize("at", range(8))
async def test_one_empty_page_is_no_end_unnoticed(at):
    """It is passed over, or it is an error: a walk that ends well has seen everything."""
    try:
        assert await walked(Histories(*[whole] * at, nothing, whole)) == ALL
    except IncompleteHistoryError as error:
        assert "does not know the history" in str(error)  # noqa: PT017 - either is right


async def test_a_first_page_that_is_empty_is_asked_for_again():
    assert await walked(Histories(nothing, whole)) == ALL


async def test_a_node_that_does_not_know_before_is_not_at_the_end():
    with pytest.raises(IncompleteHistoryError, match=f"before {ALL[2]}"):
        await walked(Histories(whole, nothing))


async def test_an_end_that_the_ledger_contradicts_is_none():
    with pytest.raises(IncompleteHistoryError, match="ends before older, which is recorded"):
        await walked(Histories(), must_see="older")
    with pytest.raises(IncompleteHistoryError, match="is recorded"):
        await walked(Histories(nothing), must_see=ALL[-1])
    assert await walked(Histories(), must_see=ALL[-1]) == ALL


async def test_an_empty_history_is_asked_for_twice():
    node = Histories(history=[])
    assert await walked(node) == []
    assert node.asked == [None, None]


async def test_an_end_costs_two_more_questions():
    node = Histories(history=HISTORY[:3])
    assert await walked(node) == ALL[:3]
    assert node.asked == [None, ALL[1], ALL[2]]


async def test_nodes_that_order_a_slot_differently_lose_nothing():
    """The oldest slot is told in one order and then in the other."""
    slot = [line("new", 9), line("x", 5), line("y", 5), line("z", 5)]
    turned = [slot[0], *reversed(slot[1:])]

    class Two(Histories):
        async def signatures(self, account, **options):
            self.history = slot if len(self.asked) % 2 else turned
            return await super().signatures(account, **options)

    try:
        assert set(await walked(Two(one, whole, history=slot))) == {"new", "x", "y", "z"}
    except IncompleteHistoryError as error:
        assert "differently" in str(error)  # noqa: PT017 - either is right


class Growing(Histories):
    """A node on which `sizes` more transactions land before each question; all in the newest slot, or each in its own.

    A fake for the same reason: what lands has to land between two exact questions.
    """

    def __init__(self, sizes, history, *, same_slot):
        super().__init__(history=list(history))
        self.sizes, self.same_slot = list(sizes), same_slot

    async def signatures(self, account, **options):
        for _ in range(self.sizes.pop(0) if self.sizes else 0):
            newest = self.history[0].slot if self.history else 7
            name = f"landed {len(self.history)}"
            self.history.insert(0, line(name, newest if self.same_slot else newest + 1))
        return await super().signatures(account, **options)


@pytest.mark.parametrize("same_slot", [False, True])
@pytest.mark.parametrize("size", [1, 2, PAGE, 2 * PAGE + 1])
@pytest.mark.parametrize("at", range(1, 8))
@pytest.mark.parametrize("length", range(len(HISTORY) + 1))
async def test_what_lands_between_two_pages_is_no_disorder(length, at, size, same_slot):
    node = Growing([0] * at + [size], HISTORY[:length], same_slot=same_slot)
    found = await walked(node)
    assert set(found) >= set(ALL[:length])
    assert len(found) == len(set(found))


@pytest.mark.parametrize("same_slot", [False, True])
@pytest.mark.parametrize("length", range(len(HISTORY) + 1))
async def test_what_lands_before_every_page_is_no_disorder(length, same_slot):
    node = Growing([1] * 40, HISTORY[:length], same_slot=same_slot)
    assert set(await walked(node)) >= set(ALL[:length])


@pytest.mark.parametrize("seed", range(200))
async def test_a_growing_history_is_walked_down_to_a_slot_without_a_gap(seed):
    chance = random.Random(seed)
    history = HISTORY[: chance.randrange(len(HISTORY) + 1)]
    lower_slot = chance.choice([0, *(info.slot for info in history)])
    sizes = [chance.choice([0, 0, 1, 2, PAGE, 9]) for _ in range(6)]
    node = Growing(sizes, history, same_slot=chance.random() < 0.5)
    found = await walked(node, lower_slot)
    assert set(found) >= {info.signature for info in history if info.slot >= lower_slot}
    assert len(found) == len(set(found))


async def test_a_payment_that_arrives_while_an_account_of_one_line_is_walked():
    """A page that begins at the top again shows it above the one line, which is not older than itself."""
    node = Growing([0, 1], HISTORY[:1], same_slot=False)
    assert await walked(node) == ["s00", "landed 1"]
