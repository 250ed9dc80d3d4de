"""What one phase of the measurement of the footprint saw."""

from collections import Counter
from dataclasses import dataclass, field

from bench.buyer import Bought


@dataclass(slots=True)
class Phase:
    """What was measured while idle, or while payments came at a rate.

    Attributes:
        rate: Payments a second; 0 for idle.
        seconds: The time of `cpu_seconds`; `calls` also count the time until finality.
        megabytes: The highest resident size of each part, without what Postgres' processes share.
        cpu_seconds: What each part used.
        calls: RPC calls to the node, by method.
    """

    name: str
    rate: float
    seconds: float
    bought: Bought
    call_seconds: float = 0.0
    megabytes: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
