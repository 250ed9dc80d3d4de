"""How many endpoints have to say a thing that cannot be taken back. Pure."""

from typing import Final

_AGREEING: Final = 2


def agreeing_min(endpoints: int) -> int:
    """How many of so many endpoints have to agree before what one says alone decides anything: two, or the only one."""
    return min(_AGREEING, endpoints)
