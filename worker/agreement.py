"""Whether nodes agree about what is under way. What they disagree about stays open, so that is said, and by name."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from chain.landing import saying_alone
from chain.node import EndpointStatuses
from worker.metrics import WorkerMetrics

_log = structlog.get_logger(__name__)

_TOO_FEW: Final = "mend the node that is away, or set RPC_WITNESSES=1 to believe those that answer"
_ALONE: Final = "it stays open until they agree; take out whichever an explorer contradicts, this one or the others"


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
        """Note which endpoints say alone what others deny; `about` says of what. Each is counted, and said once.

        It is said again of one that has agreed meanwhile; see `note_agreed`.
        """
        for endpoint in sorted(endpoints):
            self.metrics.nodes_alone.labels(endpoint, about).inc()
            if (endpoint, about) not in self._alone:
                self._alone.add((endpoint, about))
                _log.error("node_contradicts_others", endpoint=endpoint, about=about, hint=_ALONE)

    def note_agreed(self, about: str, endpoints: Collection[str]) -> None:
        """Note which endpoints were asked of all that is under way, and said nothing alone."""
        self._alone -= {(endpoint, about) for endpoint in endpoints}


@dataclass(slots=True)
class Heard:
    """What nodes say in one pass, of one transaction or page after the other.

    Attributes:
        agreement: Where it is noted.
        about: What the pass is about.
    """

    agreement: Agreement
    about: str
    _answered: set[str] = field(default_factory=set)
    _alone: set[str] = field(default_factory=set)

    def note(self, answers: Sequence[EndpointStatuses], ends: Sequence[int | None]) -> None:
        """Note what each endpoint says of some transactions; for `ends` see `saying_alone`."""
        alone = saying_alone(answers, ends)
        self.agreement.note_alone(self.about, alone)
        self._alone |= alone
        self._answered |= {one.endpoint for one in answers if one.statuses is not None}

    def end(self) -> None:
        """The pass has ended: whoever has answered and said nothing alone agrees with the others again."""
        self.agreement.note_agreed(self.about, self._answered - self._alone)
