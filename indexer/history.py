"""Walk an account's history on chain, newest first, and know whether it was shown whole.

A node's history can end early for reasons that look alike: the real beginning, a node that does not know the
`before` it was given, one that pruned, a page cut short. So every page overlaps the one before it by at least
one transaction. An end counts only when a page repeats the last line and has no more, when what is older than that
line is asked for by itself and is nothing, and when neither contradicts the ledger: the first alone may have been cut
short, the second alone may come from a node that does not know the line. The lower bound is a slot, never an `until`,
which an unsure node would ignore.
"""

from collections.abc import AsyncIterator
from typing import Final

from chain.node import Node, SignatureInfo

_CONFIRMATIONS_OF_THE_END: Final = 2


class IncompleteHistoryError(Exception):
    """A node's answers do not show the account's history down to its cursor."""


async def walk(
    node: Node, account: str, lower_slot: int, must_see: str | None, min_context_slot: int | None
) -> AsyncIterator[list[SignatureInfo]]:
    """Pages of an account's history, newest first, down to and including `lower_slot`; each line once.

    Args:
        node: Where to ask.
        account: Whose history.
        lower_slot: Where to stop; every page may reach below it.
        must_see: A transaction known to be in the history at `lower_slot`; an end before it is no end.
        min_context_slot: The node must have seen this slot.

    Raises:
        IncompleteHistoryError: The answers contradict each other or the ledger.
        RpcError: The nodes failed to answer.
    """
    seen: set[str] = set()
    # Those of the way down from the top that is being walked.
    walked: set[str] = set()
    last: SignatureInfo | None = None
    before: str | None = None
    page = await node.signatures(account, min_context_slot=min_context_slot)
    ends = 0
    while True:
        if new := [info for info in page if info.signature not in seen]:
            seen.update(info.signature for info in new)
            yield [info for info in new if info.slot >= lower_slot]
        older = [info for info in _below(last, page) if info.signature not in walked]
        walked.update(info.signature for info in page)
        if older:
            ends = 0
            # A page of one line is repeated by asking for it again.
            last, before = older[-1], _overlapping_before(page, older[-1]) or before
            if last.slot < lower_slot:
                return
        else:
            ends += 1
            if ends >= _CONFIRMATIONS_OF_THE_END:
                break
        beyond = last if ends else None
        if beyond is not None:
            before = beyond.signature
        page = await node.signatures(account, before=before, min_context_slot=min_context_slot)
        if beyond is None and last is not None and _has_outgrown(last, page, account, before):
            last = None
            walked.clear()
        if beyond is not None and page and all(info.signature in walked for info in page):
            raise IncompleteHistoryError(f"the nodes order the history of {account} before {before} differently")
    if must_see is not None and must_see not in seen:
        raise IncompleteHistoryError(f"the node's history of {account} ends before {must_see}, which is recorded")


def _has_outgrown(last: SignatureInfo, page: list[SignatureInfo], account: str, before: str | None) -> bool:
    """True when a page from the top does not reach `last` any more: it is walked down from there again.

    Raises:
        IncompleteHistoryError: The page does not overlap the one before it for another reason.
    """
    if _place(last, page) is not None:
        return False
    if before is not None or not page or page[-1].slot < last.slot:
        raise IncompleteHistoryError(f"the node does not know the history of {account} before {before}")
    return True


def _place(line: SignatureInfo, page: list[SignatureInfo]) -> int | None:
    """Where a line stands in a page, by its signature: how final it is may have changed since."""
    return next((place for place, info in enumerate(page) if info.signature == line.signature), None)


def _below(last: SignatureInfo | None, page: list[SignatureInfo]) -> list[SignatureInfo]:
    """The lines of `page` below `last`, or all of them: what a page shows above `last` has landed meanwhile."""
    place = None if last is None else _place(last, page)
    return page if place is None else page[place + 1 :]


def _overlapping_before(page: list[SignatureInfo], last: SignatureInfo) -> str | None:
    """Where the next page starts so that it repeats the last line of this one.

    The order inside one slot may differ between nodes: start before the last line's slot where possible.
    """
    earlier = [info for info in page if info.slot > last.slot]
    if earlier:
        return earlier[-1].signature
    index = page.index(last)
    return page[index - 1].signature if index else None
