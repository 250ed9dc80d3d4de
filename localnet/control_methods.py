"""Methods no real node has, to give money away and to make things go wrong."""

from dataclasses import asdict
from typing import Any, Final

from localnet.calls import Call, Method
from localnet.errors import invalid_params
from localnet.params import Config

PREFIX: Final = "localnet_"
TICKS_MAX: Final = 10_000


def fund_token(call: Call) -> str:
    """`[owner, mint, amount in base units]` -> the owner's associated token account, now that much richer."""
    owner, mint, amount = call.params.pubkey(0), call.params.pubkey(1), call.params.integer(2)
    try:
        return str(call.chain.faucet.fund_token(owner, mint, amount))
    except (ValueError, RuntimeError) as error:
        raise invalid_params(f"Invalid param: {error}") from None


def fork(call: Call) -> dict[str, Any]:
    """`[{depth, drop?, reland?, relandAfter?, seed?}]`, see Chain.fork.

    Answers `{abandonedSlots, dropped, relanded, relanding}`, the last three in signatures.
    """
    config = call.params.config(0)
    depth = config.integer("depth")
    if depth is None:
        raise invalid_params("Invalid params: missing field `depth`.")
    try:
        report = call.chain.fork(
            depth,
            drop=_choice(config, "drop"),
            reland=_choice(config, "reland"),
            reland_after=config.integer("relandAfter") or 0,
            seed=config.integer("seed") or 0,
        )
    except ValueError as error:
        raise invalid_params(f"Invalid param: {error}") from None
    answer = asdict(report)
    answer["abandonedSlots"] = answer.pop("abandoned_slots")
    return answer


def set_faults(call: Call) -> dict[str, Any]:
    """`[{fault: number or object, ...}]`, merged into those in force; `{}` or null resets. See Faults."""
    changes = call.params.get(0)
    if changes is not None and not isinstance(changes, dict):
        raise invalid_params("Invalid params: expected a map of faults.")
    try:
        call.hazard.set(changes)
    except ValueError as error:
        raise invalid_params(f"Invalid param: {error}") from None
    return call.hazard.as_json()


def get_faults(call: Call) -> dict[str, Any]:
    """The faults in force; `count` is what is left of it."""
    return call.hazard.as_json()


def tick(call: Call) -> int:
    """`[n]`: close the open slot n times (default 1); answers the slot now open."""
    count = 1 if call.params.get(0) is None else call.params.integer(0)
    if count > TICKS_MAX:
        raise invalid_params(f"Too many ticks; max {TICKS_MAX}")
    return call.chain.tick(count)


def _choice(config: Config, name: str) -> float | list[str] | None:
    value = config.get(name)
    if value is None or (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return value
    if isinstance(value, int | float) and 0 <= value <= 1:
        return value
    raise invalid_params(f"Invalid params: `{name}` is a rate from 0 to 1 or a list of signatures.")


METHODS: Final[dict[str, Method]] = {
    "localnet_fundToken": fund_token,
    "localnet_fork": fork,
    "localnet_setFaults": set_faults,
    "localnet_getFaults": get_faults,
    "localnet_tick": tick,
}
