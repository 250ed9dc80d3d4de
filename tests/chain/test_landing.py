"""What became of a transaction: by every endpoint's word, and never by a failure that is not final."""

import pytest

from chain.landing import LandingState, fates, saying_alone
from chain.node import EndpointStatuses, SignatureStatus

GOOD = SignatureStatus(5, None, "confirmed")
FINAL = SignatureStatus(5, None, "finalized")
SEEN = SignatureStatus(5, None, "processed")
BAD = SignatureStatus(5, {"InstructionError": [2, {"Custom": 1}]}, "finalized")
BAD_YET = SignatureStatus(5, {"InstructionError": [2, {"Custom": 1}]}, "confirmed")

CASES = {
    "nobody answers": ([], LandingState.NOT_ASKED),
    "nobody knows it": ([None, None], LandingState.UNKNOWN),
    "one has it": ([None, GOOD], LandingState.SUCCEEDED),
    "it is being voted for": ([SEEN], LandingState.UNDECIDED),
    "it failed for good": ([BAD], LandingState.FAILED),
    "it failed for good, for all": ([BAD, BAD], LandingState.FAILED),
    "one alone says that it failed": ([None, BAD], LandingState.DISPUTED),
    "one alone of three says that it failed": ([BAD, None, None], LandingState.DISPUTED),
    "two say that it failed, and one that it may not": ([BAD, BAD, SEEN], LandingState.UNDECIDED),
    "it failed, which may be undone": ([BAD_YET], LandingState.UNDECIDED),
    "they contradict each other": ([BAD, GOOD], LandingState.SUCCEEDED),
}


@pytest.mark.parametrize("case", CASES)
def test_where_it_stands(case):
    said, landing = CASES[case]
    (fate,) = fates([EndpointStatuses("node", 9, [one]) for one in said], 1)
    assert fate.landing is landing


def test_endpoints_that_do_not_answer_or_answer_something_else_have_no_say():
    answers = [
        EndpointStatuses("down", 0, None, "it is away"),
        EndpointStatuses("strange", 99, []),
        EndpointStatuses("behind", 7, [None, BAD]),
        EndpointStatuses("ahead", 9, [None, None]),
    ]
    first, second = fates(answers, 2)
    assert (first.landing, first.seen_slot) == (LandingState.UNKNOWN, 7)
    assert (second.landing, second.slot) == (LandingState.DISPUTED, 5)
    assert "InstructionError" in second.error


def test_one_endpoint_is_not_enough_where_the_others_do_not_answer():
    answers = [EndpointStatuses("liar", 9, [None, BAD, GOOD]), EndpointStatuses("down", 0, None, "it is away")]
    assert [fate.landing for fate in fates(answers, 3)] == [
        LandingState.NOT_ASKED,
        LandingState.NOT_ASKED,
        LandingState.SUCCEEDED,
    ]


@pytest.mark.parametrize(
    ("said", "is_final"),
    [([FINAL], True), ([FINAL, FINAL], True), ([FINAL, GOOD], False), ([FINAL, None], False), ([FINAL, BAD], False)],
)
def test_what_is_final_is_final_for_all(said, is_final):
    (fate,) = fates([EndpointStatuses("node", 9, [one]) for one in said], 1)
    assert (fate.landing, fate.is_final) == (LandingState.SUCCEEDED, is_final)


def test_one_witness_is_enough_where_the_operator_says_so():
    answers = [EndpointStatuses("up", 9, [None, BAD, FINAL]), EndpointStatuses("down", 0, None, "it is away")]
    unknown, failed, good = fates(answers, 3, witnesses=1)
    assert (unknown.landing, failed.landing) == (LandingState.UNKNOWN, LandingState.FAILED)
    assert good.is_final


def test_of_three_endpoints_two_are_enough():
    answers = [EndpointStatuses("down", 0, None, "it is away"), *(EndpointStatuses("up", 9, [None, BAD]) for _ in "ab")]
    assert [fate.landing for fate in fates(answers, 2)] == [LandingState.UNKNOWN, LandingState.FAILED]


@pytest.mark.parametrize(
    ("others", "end", "alone"),
    [
        ([(9, None)], None, set()),
        ([(36, None)], None, set()),
        ([(37, None)], None, {"it"}),
        ([(9, None)], 8, {"it"}),
        # Whoever has not come so far may still hear of it.
        ([(9, None)], 9, set()),
        ([(9, None), (11, None)], 10, {"it"}),
        ([(99, GOOD)], 8, set()),
        ([(99, GOOD), (99, None)], 8, {"it", "other"}),
    ],
)
@pytest.mark.parametrize("said", [GOOD, FINAL, BAD])
def test_who_says_alone_that_it_has_landed(said, others, end, alone):
    answers = [EndpointStatuses("it", 9, [said]), *(EndpointStatuses("other", slot, [one]) for slot, one in others)]
    answers += [EndpointStatuses("away", 0, None, "it is away"), EndpointStatuses("strange", 999, [])]
    assert saying_alone(answers, [end]) == alone


def test_what_is_being_voted_for_contradicts_nobody():
    assert not saying_alone([EndpointStatuses("it", 9, [SEEN]), EndpointStatuses("other", 99, [None])], [5])
