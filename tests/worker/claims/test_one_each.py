"""Every asker that can get a good gets one, and what it likes best where nobody else needs that."""

import itertools
import random

import pytest

from worker.claims.one_each import one_each


@pytest.mark.parametrize(
    ("choices", "given"),
    [
        ({}, {}),
        ({"a": []}, {}),
        ({"a": [1, 2], "b": [1, 2]}, {"a": 1, "b": 2}),
        ({"a": [1, 2], "b": [1]}, {"a": 2, "b": 1}),
        ({"a": [1], "b": [1]}, {"a": 1}),
        ({"a": [1, 2], "b": [2, 3], "c": [1]}, {"a": 2, "b": 3, "c": 1}),
    ],
)
def test_what_is_given(choices, given):
    assert one_each(choices) == given


@pytest.mark.parametrize("seed", range(50))
def test_as_many_as_possible_get_one(seed):
    chance = random.Random(seed)
    choices = {asker: chance.sample(range(5), chance.randrange(5)) for asker in range(5)}
    given = one_each(choices)
    assert all(good in choices[asker] for asker, good in given.items())
    assert len(set(given.values())) == len(given)
    possible = max(
        sum(good in choices[asker] for asker, good in enumerate(goods)) for goods in itertools.permutations(range(5))
    )
    assert len(given) == possible


def test_a_long_chain_of_changes_is_followed_to_its_end():
    """As of 3,000 requests that share their payments two by two."""
    last = 3_000
    choices = {asker: [asker, asker + 1] for asker in range(last)} | {last: [0]}
    assert one_each(choices) == {asker: asker + 1 for asker in range(last)} | {last: 0}
