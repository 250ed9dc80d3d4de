"""What the filters of analytics may say, and what they mean in the ledger."""

import datetime as dt
import re
from typing import Final, Literal

from api.http.errors import invalid
from api.tokens import TokenBook
from chain.addresses import parse_address
from ledger.states import ClaimStatus

StatusWanted = Literal["pending", "confirmed", "finalized", "failed", "expired", "reversed"]
"""A status of payments; `confirmed` includes what is finalized, `finalized` narrows it."""

FinalityWanted = Literal["confirmed", "finalized"]
"""Whether the transfer of a confirmed payment can still be undone."""

_STATUSES: Final[dict[StatusWanted, tuple[ClaimStatus, ...]]] = {
    "pending": (ClaimStatus.PENDING,),
    "confirmed": (ClaimStatus.CONFIRMED, ClaimStatus.FINALIZED),
    "finalized": (ClaimStatus.FINALIZED,),
    "failed": (ClaimStatus.FAILED,),
    "expired": (ClaimStatus.EXPIRED,),
    "reversed": (ClaimStatus.REVERSED,),
}
_FINALITIES: Final[dict[FinalityWanted, ClaimStatus]] = {
    "confirmed": ClaimStatus.CONFIRMED,
    "finalized": ClaimStatus.FINALIZED,
}

# The families in which existing clients ask for events, by the first words of the types that are of each.
_FAMILIES: Final = {
    "payment": ("claim", "transfer"),
    "verification": ("claim",),
    "transaction": ("transfer",),
    "escrow": ("job", "payout"),
    "settlement": ("payout",),
    "marketplace": ("job", "service"),
}
_DIGITS: Final = re.compile(r"[0-9]{1,18}")
# Epoch milliseconds of 1973 to 2286: a number of fewer digits is a year or epoch seconds, of more microseconds.
_EPOCH_MS_DIGITS: Final = range(12, 14)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*", re.DOTALL)


def statuses_wanted(status: StatusWanted | None, finality: FinalityWanted | None) -> tuple[ClaimStatus, ...] | None:
    """The statuses of the claims that the filters `status` and `finality` ask for; `None` for every status."""
    wanted = None if status is None else _STATUSES[status]
    if finality is None:
        return wanted
    final = _FINALITIES[finality]
    return (final,) if wanted is None or final in wanted else ()


def families_wanted(event_type: str | None) -> tuple[str, ...] | None:
    """The first words of the event types that belong to a family; `None` for one type, whose name has a dot in it.

    A name that is none of the older system's families is itself such a first word, as `claim` and `job` are.
    """
    if event_type is None or "." in event_type:
        return None
    return _FAMILIES.get(event_type, (event_type,))


async def currency_wanted(tokens: TokenBook, currency: str | None) -> str | None:
    """The currency that a filter names, as the ledger files it: without regard to case, or by its mint.

    Raises:
        ApiError: 400 for a currency that is not known.
    """
    if currency is None:
        return None
    mint = parse_address(currency)
    token = await (tokens.find(currency, None) if mint is None else tokens.find(None, mint))
    return token.symbol


def time_wanted(name: str, text: str | None) -> dt.datetime | None:
    """The time that the filter `name` says: epoch milliseconds, or a date or time of ISO 8601, UTC unless it says so.

    Raises:
        ApiError: 400 for what is no time, or can only be a mistake, as epoch seconds or a year alone.
    """
    if not text:
        return None
    try:
        at = _parsed(text)
    except (ValueError, OverflowError):
        at = None
    if at is None:
        raise invalid(
            f"{name} is no time; send epoch milliseconds (13 digits) or ISO 8601, as 2026-01-31T00:00:00Z.",
            {"field": name},
        )
    return at


def range_wanted(start: str | None, end: str | None) -> tuple[dt.datetime | None, dt.datetime | None]:
    """The times that `startDate` and `endDate` say. Raises ApiError 400 where one is none, or they are reversed."""
    since, until = time_wanted("startDate", start), time_wanted("endDate", end)
    if since is not None and until is not None and since > until:
        raise invalid("startDate is later than endDate; exchange them.", {"field": "startDate"})
    return since, until


def _parsed(text: str) -> dt.datetime | None:
    """The time, or `None` for what can only be a mistake. Raises ValueError or OverflowError for what is no time."""
    if _DIGITS.fullmatch(text):
        if len(text) not in _EPOCH_MS_DIGITS and text != "0":
            return None
        return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(milliseconds=int(text))
    if _DATE.fullmatch(text) is None:
        return None
    at = dt.datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
