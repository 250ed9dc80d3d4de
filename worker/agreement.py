"""Whether nodes agree about what is under way. What they disagree about stays open, so that is said, and by name."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import structlog

from worker.metrics import WorkerMetrics

_log = structlog.get_logger(__name__)

_TOO_FEW: Final = "mend the node that is away, or set RPC_WITNESSES=1 to believe those that answer"
_ALONE: Final = "what others deny stays open until they agree; take out the one that an explorer contradicts"


@dataclass(slots=True)
class Agreement:
    """What nodes last said.

    Attributes:
        metrics: Where it is counted what one says alone.
        is_missing: Too few nodes answered to decide what can land no more.
    """

    metrics: WorkerMetrics
    is_missing: bool = False
    _alone: set[tuple[str, str]] = field(default_factory=set)

    def note_enough(self, *, endpoints: int, witnesses: int, is_enough: bool) -> None:
        """Note whether enough nodes answered to decide anything; said once when that changes."""
        if is_enough is not self.is_missing:
            return
        self.is_missing = not is_enough
        if is_enough:
            _log.info("enough_nodes_to_decide")
        else:
            _log.warning("too_few_nodes_to_decide", endpoints=endpoints, witnesses=witnesses, hint=_TOO_FEW)

    def note_alone(self, about: str, endpoints: Collection[str]) -> None:
        """Note which endpoints say alone what others deny; `about` says of what. Each is counted, and said once."""
        for endpoint in sorted(endpoints):
            self.metrics.nodes_alone.labels(endpoint, about).inc()
            if (endpoint, about) not in self._alone:
                self._alone.add((endpoint, about))
                _log.error("node_contradicts_others", endpoint=endpoint, about=about, hint=_ALONE)
