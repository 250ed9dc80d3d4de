"""How many endpoints have to say a thing that cannot be taken back. Pure."""

from typing import Final

WITNESSES: Final = 2
"""How many have to agree where an operator says nothing else."""


def agreeing_min(endpoints: int, witnesses: int = WITNESSES) -> int:
    """How many of so many endpoints have to agree before anything is decided: `witnesses`, never more than there are.

    With one witness the word of whoever answers decides.
    """
    return min(witnesses, endpoints)
