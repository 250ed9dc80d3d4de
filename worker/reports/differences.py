"""How what is kept for reports is compared with what the whole ledger says."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from worker.reports.contents import KeptDifference, ReportedTotals

_NAMED_MAX: Final = 100
_CHARACTERS_MAX: Final = 1_000


def differences(kept: ReportedTotals, counted: ReportedTotals) -> list[KeptDifference]:
    """What differs between the two, one line for each merchant's totals, claims and kind of finding; at most 100."""
    found = [
        *_compare("totals of", _by_owner(kept), _by_owner(counted)),
        *_compare("claims of", _by_status(kept), _by_status(counted)),
        *_compare("number of", kept.counts, counted.counts),
        *_compare("first findings of", kept.findings, counted.findings),
    ]
    return found[:_NAMED_MAX]


def _by_owner(totals: ReportedTotals) -> Mapping[str, Any]:
    return {f"{line.user_id}/{line.mint}": line for line in totals.by_user}


def _by_status(totals: ReportedTotals) -> Mapping[str, Any]:
    return {f"{line.user_id}/{line.mint}/{line.status}": line for line in totals.claims}


def _compare(what: str, kept: Mapping[str, Any], counted: Mapping[str, Any]) -> Iterator[KeptDifference]:
    for subject in sorted({*kept, *counted}):
        one, other = kept.get(subject), counted.get(subject)
        if one != other:
            yield KeptDifference(f"{what} {subject}", _shown(one, other), _shown(other, one))


def _shown(value: Any, other: Any) -> str:
    """`value` as text; of a long list what `other` has not in the same place."""
    if isinstance(value, list) and isinstance(other, list):
        places = (n for n, one in enumerate(value) if n >= len(other) or one != other[n])
        place = next(places, None)
        value = "nothing more" if place is None else value[place]
    return str(value)[:_CHARACTERS_MAX]
