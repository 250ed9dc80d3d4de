"""Cursors of lists whose rows are found by their time and id: where a page ended, as text that callers send back."""

import base64
import datetime as dt
import re
import uuid
from typing import Final

from api.http.errors import invalid

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def time_cursor(created_at: dt.datetime, row_id: uuid.UUID) -> str:
    """The cursor of a page that ended with this row."""
    microseconds = (created_at - _EPOCH) // dt.timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{microseconds}/{row_id}".encode()).decode().rstrip("=")


def place_of(cursor: str) -> tuple[dt.datetime, uuid.UUID]:
    """The time and the id of the row that a page ended with. Raises ApiError 400 for what is no such cursor."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        text = ""
    if (found := re.fullmatch(r"([0-9]{1,17})/([0-9a-f-]{36})", text)) is None:
        raise invalid("cursor is not one that this list gave; start without it.", {"field": "cursor"})
    try:
        return _EPOCH + dt.timedelta(microseconds=int(found[1])), uuid.UUID(found[2])
    except (ValueError, OverflowError):
        raise invalid("cursor is not one that this list gave; start without it.", {"field": "cursor"}) from None
