"""One JSON-RPC call as its method sees it: the chain as this node knows it, and the parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from localnet.blocks import Block, Commitment, View
from localnet.chain import Chain
from localnet.encoding import Executed
from localnet.faults import Hazard
from localnet.params import Config, Params

API_VERSION: Final = "3.0.6"


@dataclass(slots=True)
class Call:
    """A call; `view` and `first_available` are what this node knows, for it may lag or have forgotten."""

    chain: Chain
    hazard: Hazard
    params: Params
    view: View
    behind: int
    first_available: int

    def slot(self, config: Config, *, default: Commitment = "finalized") -> int:
        """The slot of the state to answer from: commitment and `minContextSlot` honoured."""
        slot = self.view.slot(config.commitment(default=default))
        config.check_min_context_slot(slot)
        return slot

    def block_at(self, slot: int) -> Block:
        """The block of a slot that this view names."""
        block = self.chain.block(slot)
        assert block is not None, "a view names living blocks"
        return block

    def knows(self, executed: Executed | None, slot: int) -> bool:
        """True when a transaction landed at or before `slot` and its block is not pruned."""
        return executed is not None and self.first_available <= executed.slot <= slot

    def in_context(self, slot: int, value: Any) -> dict[str, Any]:
        """`{context: {apiVersion, slot}, value}`."""
        return {"context": {"apiVersion": API_VERSION, "slot": slot}, "value": value}


Method = Callable[[Call], Any]


def prepare(chain: Chain, hazard: Hazard, values: list[Any], method: str) -> Call:
    """A call of `method` to this node, as behind or forgetful as its faults make it."""
    faults = hazard.faults
    behind = int(faults.node_behind_slots.amount) if hazard.strikes(faults.node_behind_slots, method) else 0
    view = chain.view(behind)
    first = 0
    if hazard.strikes(faults.pruned_slots, method):
        first = max(0, view.processed - int(faults.pruned_slots.amount))
        while chain.block(first) is None:
            first += 1
    return Call(chain, hazard, Params(values), view, behind, first)
