"""Moments as people give them to commands."""

import datetime as dt


def as_utc(moment: dt.datetime | None) -> dt.datetime | None:
    """A moment that names no zone, as one of UTC."""
    return moment.replace(tzinfo=moment.tzinfo or dt.UTC) if moment else None
