"""What became of a transaction: by every endpoint's word, and never by a failure that is not final."""

import pytest

from chain.landing import LandingState, fates
from chain.node import EndpointStatuses, SignatureStatus

GOOD = SignatureStatus(5, None, "confirmed")
SEEN = SignatureStatus(5, None, "processed")
BAD = SignatureStatus(5, {"InstructionError": [2, {"Custom": 1}]}, "finalized")
BAD_YET = SignatureStatus(5, {"InstructionError": [2, {"Custom": 1}]}, "confirmed")

CASES = {
    "nobody answers": ([], LandingState.NOT_ASKED),
    "nobody knows it": ([None, None], LandingState.UNKNOWN),
    "one has it": ([None, GOOD], LandingState.SUCCEEDED),
    "it is being voted for": ([SEEN], LandingState.UNDECIDED),
    "it failed for good": ([None, BAD], LandingState.FAILED),
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
    assert (second.landing, second.slot) == (LandingState.FAILED, 5)
    assert "InstructionError" in second.error
