"""What a transaction moved, as one JSON object."""

from typing import Any

from ledger.observation import Movement, Observation


def line_of(observation: Observation, slot: int | None) -> dict[str, Any]:
    """The line of one transaction; `slot` stands in where a recorded block does not say its own."""
    moved = [(movement, _movement(movement)) for movement in observation.movements]
    transfers = set(map(id, observation.transfers))
    return {
        "signature": observation.signature,
        "slot": observation.slot if observation.slot is not None else slot,
        "failed": observation.failed,
        "transfers": [line for movement, line in moved if id(movement) in transfers],
        "otherMovements": [line for movement, line in moved if id(movement) not in transfers],
        "balanceChanges": [
            {"account": c.account, "owner": c.owner, "mint": c.mint, "pre": c.pre, "post": c.post}
            for c in observation.balances
            if c.pre != c.post
        ],
        "memos": list(observation.memos),
        "references": list(observation.references),
        "unexplained": [
            {"account": u.account, "mint": u.mint, "difference": u.difference, "reason": u.reason}
            for u in observation.unexplained
        ],
    }


def _movement(movement: Movement) -> dict[str, Any]:
    return {
        "path": movement.path,
        "kind": movement.kind.value,
        "program": movement.program,
        "mint": movement.mint,
        "source": movement.source,
        "destination": movement.destination,
        "sourceOwner": movement.source_owner,
        "destinationOwner": movement.destination_owner,
        "amount": movement.amount,
        "fee": movement.fee,
    }
