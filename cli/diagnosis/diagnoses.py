"""What an examination finds: one line each, with what to do where something is wrong."""

from collections.abc import Awaitable, Iterable
from typing import Literal

import msgspec

Verdict = Literal["ok", "warning", "failure"]


class Diagnosis(msgspec.Struct, frozen=True):
    """One line of the doctor's table.

    Attributes:
        part: What was looked at: settings, database, redis, a node.
        check: What was asked about it.
        verdict: A failure is something that would lose or refuse payments; a warning may be meant.
        detail: What was found.
        remedy: What to do next; empty when all is well.
    """

    part: str
    check: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def good(part: str, check: str, detail: str) -> Diagnosis:
    """All is well."""
    return Diagnosis(part, check, "ok", detail)


def doubtful(part: str, check: str, detail: str, remedy: str) -> Diagnosis:
    """It works, but look at it."""
    return Diagnosis(part, check, "warning", detail, remedy)


def bad(part: str, check: str, detail: str, remedy: str) -> Diagnosis:
    """It has to be mended."""
    return Diagnosis(part, check, "failure", detail, remedy)


def from_sentence(part: str, check: str, sentence: str) -> Diagnosis:
    """An OperatorError as a failure: its advice stands after the last semicolon."""
    detail, semicolon, advice = sentence.rstrip(".").rpartition("; ")
    return bad(part, check, detail, advice) if semicolon else bad(part, check, advice, "see the runbook")


async def bounded(part: str, check: str, seconds: float, work: Awaitable[Iterable[Diagnosis]]) -> list[Diagnosis]:
    """The diagnoses of `work`, or one that says that it took too long."""
    import asyncio

    try:
        async with asyncio.timeout(seconds):
            return list(await work)
    except TimeoutError:
        return [bad(part, check, f"no answer within {seconds:g} s", "find out what it waits for and run this again")]
