"""Everything that can go wrong with a node, to order: seeded, counted, switchable while it runs."""

import random
from dataclasses import dataclass, field, fields
from typing import Any, Final

import msgspec

_HEARTBEATS: Final = frozenset(("slotNotification", "rootNotification"))


@dataclass(slots=True)
class Fault:
    """When a fault strikes.

    `rate` is its chance at each opportunity, 0 to 1. The first `after` opportunities pass unharmed. After
    `count` strikes it is spent (None: never). `amount` is its size, in the unit the field of Faults names.
    `methods` limits it to some JSON-RPC methods, or for notifications to some kinds such as
    `logsNotification`; notifications of slots and roots are hit only where named.
    """

    rate: float = 0.0
    amount: float = 0.0
    count: int | None = None
    after: int = 0
    methods: tuple[str, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """The form `localnet_setFaults` takes and `localnet_getFaults` gives."""
        return {
            "rate": self.rate,
            "amount": self.amount,
            "count": self.count,
            "after": self.after,
            "methods": None if self.methods is None else list(self.methods),
        }


@dataclass(slots=True)
class Faults:
    """The faults of one node, all off at first. In JSON the names are camelCase.

    A plain number sets the rate; for the faults that are a quantity (their doc names the unit first) it sets
    the amount, at rate 1. An object sets `{rate, amount, count, after, methods}`.
    """

    # --- notifications of PubSub
    notifications_lost: Fault = field(default_factory=Fault)
    """Never sent."""
    notifications_doubled: Fault = field(default_factory=Fault)
    """Sent twice."""
    notifications_late: Fault = field(default_factory=Fault)
    """Seconds: sent that much later, newer ones overtaking."""
    notifications_out_of_order: Fault = field(default_factory=Fault)
    """Held back until the next one of the connection has been sent."""
    sockets_closed: Fault = field(default_factory=Fault)
    """The connection is cut instead of sending the notification."""
    sockets_silent: Fault = field(default_factory=Fault)
    """Half-open from this notification on: nothing is ever sent again, no answer, no pong, no slot."""
    sockets_deaf: Fault = field(default_factory=Fault)
    """Answers and pongs go on, but no notification comes ever again, slots included."""

    # --- answers of HTTP; none of them ever hits a `localnet_` method
    too_many_requests: Fault = field(default_factory=Fault)
    """HTTP 429 with `Retry-After` of the amount in seconds (0 means 1); nothing is executed."""
    server_errors: Fault = field(default_factory=Fault)
    """HTTP status of the amount (0 means 503); nothing is executed."""
    timeouts: Fault = field(default_factory=Fault)
    """The call is executed, but the answer comes after the amount in seconds (0 means never)."""
    malformed_answers: Fault = field(default_factory=Fault)
    """The call is executed, and the answer cut in the middle of its JSON."""
    latency_seconds: Fault = field(default_factory=Fault)
    """Seconds added before each answer."""
    rpc_errors: Fault = field(default_factory=Fault)
    """A JSON-RPC error of the amount as its code, without the minus (0 means 32005, a node behind)."""
    batches_rejected: Fault = field(default_factory=Fault)
    """A JSON-RPC batch is answered with HTTP 400."""
    null_transactions: Fault = field(default_factory=Fault)
    """`getTransaction` answers null."""
    truncated_pages: Fault = field(default_factory=Fault)
    """`getSignaturesForAddress` answers only the newest half of its page (at least one entry)."""
    empty_pages: Fault = field(default_factory=Fault)
    """`getSignaturesForAddress` answers an empty list."""
    transactions_lost: Fault = field(default_factory=Fault)
    """`sendTransaction` answers the signature, but the transaction never lands."""

    # --- what the node knows
    node_behind_slots: Fault = field(default_factory=Fault)
    """Slots (at most 150) that every answer over HTTP lags behind. Sending is not held up."""
    pruned_slots: Fault = field(default_factory=Fault)
    """Slots of history that the node keeps before its newest; older ones are gone."""


_QUANTITIES: Final = frozenset(("notifications_late", "latency_seconds", "node_behind_slots", "pruned_slots"))
_NAMES: Final = {
    "".join(word.capitalize() if at else word for at, word in enumerate(one.name.split("_"))): one.name
    for one in fields(Faults)
}


class _Spec(msgspec.Struct, forbid_unknown_fields=True):
    """One fault as `localnet_setFaults` takes it."""

    rate: float = 1.0
    amount: float = 0.0
    count: int | None = None
    after: int = 0
    methods: list[str] | None = None


class Hazard:
    """Decides, by a seeded coin, whether a fault strikes."""

    def __init__(self, seed: int = 0) -> None:
        self.faults = Faults()
        self.struck = 0
        """How often any fault has struck, so that a test can know that it was put to the test."""
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def set(self, changes: dict[str, Any] | None) -> None:
        """Merge `changes` into the faults in force; None or an empty object switches every fault off.

        Raises ValueError for an unknown fault or a value out of range; then nothing has changed.
        """
        if not changes:
            self.faults = Faults()
            return
        parsed = [(_field(name), _fault(_field(name), value)) for name, value in changes.items()]
        for name, fault in parsed:
            setattr(self.faults, name, fault)

    def as_json(self) -> dict[str, Any]:
        """Every fault in force, by its JSON name."""
        return {name: getattr(self.faults, at).as_json() for name, at in _NAMES.items()}

    def strikes(self, fault: Fault, method: str | None = None) -> bool:
        """True when `fault` strikes at this opportunity, which counts."""
        if not fault.rate or fault.count == 0 or not _concerns(fault, method):
            return False
        if fault.after:
            fault.after -= 1
            return False
        if fault.rate < 1 and self._random.random() >= fault.rate:
            return False
        if fault.count is not None:
            fault.count -= 1
        self.struck += 1
        return True


def _concerns(fault: Fault, method: str | None) -> bool:
    if fault.methods is not None:
        return method in fault.methods
    return method not in _HEARTBEATS


def _field(name: str) -> str:
    if name not in _NAMES:
        raise ValueError(f"unknown fault {name!r}; known are {', '.join(_NAMES)}")
    return _NAMES[name]


def _fault(name: str, value: Any) -> Fault:
    if value is None or value is False:
        return Fault()
    if value is True:
        value = 1
    if isinstance(value, int | float):
        spec = _Spec(amount=value, rate=1.0 if value else 0.0) if name in _QUANTITIES else _Spec(rate=value)
    else:
        try:
            spec = msgspec.convert(value, _Spec)
        except msgspec.ValidationError as error:
            raise ValueError(f"fault {name}: {error}") from error
    if not 0 <= spec.rate <= 1:
        raise ValueError(f"fault {name}: rate {spec.rate} is not between 0 and 1")
    if spec.amount < 0 or spec.after < 0 or (spec.count is not None and spec.count < 0):
        raise ValueError(f"fault {name}: amount, after and count cannot be negative")
    methods = None if spec.methods is None else tuple(spec.methods)
    return Fault(rate=spec.rate, amount=spec.amount, count=spec.count, after=spec.after, methods=methods)
