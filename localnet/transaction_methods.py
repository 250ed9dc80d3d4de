"""Methods about transactions that landed: one, many statuses, the history of an address."""

from bisect import bisect_left, bisect_right
from typing import Any, Final

from chain import programs
from localnet import encoding
from localnet.blocks import View
from localnet.calls import Call, Method
from localnet.encoding import Executed
from localnet.errors import invalid_params, unsupported_version
from localnet.params import Config, signature

STATUSES_MAX: Final = 256
PAGE_MAX: Final = 1000
# Without a search of history a node looks only into its cache of recent statuses.
RECENT_STATUS_SLOTS: Final = 150


def get_transaction(call: Call) -> dict[str, Any] | None:
    """One transaction, or null while it is unknown at the commitment."""
    wanted = call.params.signature(0)
    legacy = call.params.get(1)
    config = Config({"encoding": legacy}) if isinstance(legacy, str) else call.params.config(1)
    how = config.choice("encoding", encoding.ENCODINGS, "json")
    slot = call.view.slot(config.commitment(at_least_confirmed=True))
    max_version = config.integer("maxSupportedTransactionVersion")
    executed = call.chain.find(wanted)
    if executed is None or not call.knows(executed, slot):
        return None
    if call.hazard.strikes(call.hazard.faults.null_transactions, "getTransaction"):
        return None
    if max_version is None and executed.version != "legacy":
        raise unsupported_version(executed.version)
    return executed.result(how, max_version)


def get_signature_statuses(call: Call) -> dict[str, Any]:
    """The status of up to 256 signatures; null for one that is unknown, or too old without a search."""
    wanted = call.params.texts(0)
    if len(wanted) > STATUSES_MAX:
        raise invalid_params(f"Too many inputs provided; max {STATUSES_MAX}")
    search = call.params.config(1).flag("searchTransactionHistory")
    oldest = 0 if search else call.view.processed - RECENT_STATUS_SLOTS
    statuses: list[dict[str, Any] | None] = []
    for one in wanted:
        executed = call.chain.find(signature(one))
        if executed is None or executed.slot < oldest or not call.knows(executed, call.view.processed):
            statuses.append(None)
        else:
            statuses.append(status_json(call, executed))
    return call.in_context(call.view.processed, statuses)


def status_json(call: Call, executed: Executed) -> dict[str, Any]:
    """`{slot, confirmations, err, status, confirmationStatus}`; `confirmations` null once finalized."""
    level = call.view.level(executed.slot)
    depth = call.block_at(call.view.processed).height - call.block_at(executed.slot).height
    return {
        "slot": executed.slot,
        "confirmations": None if level == "finalized" else depth,
        "err": executed.err,
        "status": {"Ok": None} if executed.err is None else {"Err": executed.err},
        "confirmationStatus": level,
    }


def get_signatures_for_address(call: Call) -> list[dict[str, Any]]:
    """The history of an address, newest first, a page at a time; failed transactions included."""
    address = call.params.pubkey(0)
    config = call.params.config(1)
    before, until = config.signature("before"), config.signature("until")
    limit = config.integer("limit")
    limit = PAGE_MAX if limit is None else limit
    if not 0 < limit <= PAGE_MAX:
        raise invalid_params(f"Invalid limit; max {PAGE_MAX}")
    slot = call.view.slot(config.commitment(at_least_confirmed=True))
    config.check_min_context_slot(slot)
    faults, hazard = call.hazard.faults, call.hazard
    if hazard.strikes(faults.empty_pages, "getSignaturesForAddress"):
        return []

    history = call.chain.history(address)
    end = bisect_right(history, slot, key=_slot)
    start = bisect_left(history, call.first_available, key=_slot)
    if before is not None:
        newest = call.chain.find(before)
        # As on a real node, an unknown `before` looks like the end of history.
        if newest is None or not call.knows(newest, slot):
            return []
        end = bisect_left(history, newest.order, key=_order)
    if until is not None:
        oldest = call.chain.find(until)
        # As on a real node, an unknown `until` is no bound at all.
        if oldest is not None and call.knows(oldest, slot):
            start = max(start, bisect_right(history, oldest.order, key=_order))
    page = history[max(start, end - limit) : end][::-1]
    if len(page) > 1 and hazard.strikes(faults.truncated_pages, "getSignaturesForAddress"):
        page = page[: len(page) // 2]
    return [_history_entry(executed, call.view) for executed in page]


def memo_of(executed: Executed) -> str | None:
    """The memos of the outer instructions as a node's index keeps them: `[length] text`, joined by `; `."""
    memos = []
    for instruction in executed.transaction.message.instructions:
        if str(executed.keys[instruction.program_id_index]) in programs.MEMO_PROGRAMS:
            data = bytes(instruction.data)
            try:
                text = data.decode()
            except UnicodeDecodeError:
                text = "(unparseable)"
            memos.append(f"[{len(data)}] {text}")
    return "; ".join(memos) or None


def _history_entry(executed: Executed, view: View) -> dict[str, Any]:
    return {
        "signature": executed.signature,
        "slot": executed.slot,
        "err": executed.err,
        "memo": memo_of(executed),
        "blockTime": executed.block_time,
        "confirmationStatus": view.level(executed.slot),
    }


def _slot(executed: Executed) -> int:
    return executed.slot


def _order(executed: Executed) -> tuple[int, int]:
    return executed.order


METHODS: Final[dict[str, Method]] = {
    "getTransaction": get_transaction,
    "getSignatureStatuses": get_signature_statuses,
    "getSignaturesForAddress": get_signatures_for_address,
}
