"""docs/events.md and its JSON schema, drawn from the models: `python -m api.events.document docs` writes both."""

import json
import sys
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from api.events.bodies import DATA_OF, EVENT_MODELS

_UUID: Final = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
_EXAMPLES: Final[dict[str, Any]] = {
    "id": "evt_42", "version": 1, "timestamp": 1767225600000, "userId": "merchant", "environment": "live",
    "amountBaseUnits": "10000", "mint": "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", "decimals": 6, "symbol": "USDC",
    "signature": "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW",
    "path": "2", "slot": 250000000, "payer": "7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q",
    "recipient": "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM", "feeBaseUnits": "0", "memos": [], "nonce": "order-7",
    "claimId": _UUID, "receivedBaseUnits": "10000", "resource": "/report", "agentId": "agent-1",
    "reference": "4fYNw3dojWmQ4dXtSGE9epjRGy9pFSx62YypT7avPYvA", "expiresAt": 1767229200000,
    "jobId": _UUID, "serviceId": _UUID, "role": "provider", "clientAgentId": "agent-1", "providerAgentId": "agent-2",
    "by": "client", "reason": None, "payoutId": _UUID, "kind": "release", "waitingReason": None,
    "keyPrefix": "sk_live_0123456789", "revokedAt": None, "replacedBy": None,
    "account": "3uEvXQ8yLrjBPHVTnHiRcVh1rUqbKZ5tHKRyMZ3iTkHN", "wallet": "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM",
    "driftBaseUnits": "0", "gaps": 0, "webhookId": _UUID, "settlementId": _UUID, "status": "confirmed",
    "finality": "confirmed", "code": None,
}  # fmt: skip
_EXAMPLES_OF: Final[dict[str, dict[str, Any]]] = {
    "payment.finalized": {"finality": "finalized"},
    "payment.reversed": {"status": "reversed", "finality": None},
    "unmatched.received": {"nonce": None, "finality": "finalized"},
    "claim.refused": {"status": "failed", "finality": None, "code": "INSUFFICIENT_AMOUNT", "path": None,
                      "receivedBaseUnits": None},
    "claim.reversed": {"status": "reversed", "finality": None},
    "request.short": {"receivedBaseUnits": "9000"},
    "request.expired": {"receivedBaseUnits": None, "signature": None, "path": None, "payer": None},
    "job.not_funded": {"reason": "short", "by": None},
    "payout.sent": {"status": "sent", "reason": "approved"},
    "payout.settled": {"status": "settled", "reason": "approved"},
    "payout.waiting": {"status": "waiting", "reason": "approved", "waitingReason": "no_account", "signature": None},
    "key.revoked": {"revokedAt": 1767229200000, "replacedBy": "sk_live_9876543210"},
    "account.gap_found": {"driftBaseUnits": "10000", "gaps": 1},
    "webhook.disabled": {"reason": "failing"},
}  # fmt: skip

_HEAD: Final = """# Events

What happens to a user's money, as `GET /events` lists it, `GET /events/stream` sends it and [webhooks](webhooks.md)
bring it: the same bytes each time. `id` is an event's name and its place: send it as `after`, or as `Last-Event-ID`,
and what comes next follows, without gap or repetition. Amounts are in base units of `mint`, as decimal strings; times
are milliseconds since 1970. Fields may be added to a version: ignore those that you do not know.

Every event has these fields; what is in `data` depends on its type.

    {head}

`python -m api.events.document docs` writes this page, and the JSON schema of all events beside it:
[events.schema.json](events.schema.json).

| type | when |
| --- | --- |
"""


def example(kind: str) -> dict[str, Any]:
    """An event of this type, as it may come."""
    chosen = {**_EXAMPLES, **_EXAMPLES_OF.get(kind, {})}
    data = {field.alias: chosen[field.alias or ""] for field in DATA_OF[kind][0].model_fields.values()}
    head = {name: chosen[name] for name in ("id", "version")}
    return {
        **head,
        "type": kind,
        **{name: chosen[name] for name in ("timestamp", "userId", "environment")},
        "data": data,
    }


def document() -> str:
    """The whole page."""
    head = json.dumps({**example("key.created"), "data": {}})
    lines = [_HEAD.replace("{head}", head).rstrip("\n")]
    lines += [f"| `{kind}` | {meaning} |" for kind, (_, meaning) in DATA_OF.items()]
    described: set[type[BaseModel]] = set()
    for kind, (data, _) in DATA_OF.items():
        lines += ["", f"## {kind}", ""]
        if data not in described:
            described.add(data)
            lines += [(data.__doc__ or "").strip(), "", "| field of `data` | |", "| --- | --- |", *_fields(data), ""]
        body = json.dumps(example(kind), indent=2)
        lines += ["```json", body, "```"]
    return "\n".join(lines) + "\n"


def schema(kind: str) -> dict[str, Any]:
    """The JSON schema of an event of this type."""
    return EVENT_MODELS[kind].model_json_schema(by_alias=True)


def schemas() -> str:
    """The JSON schema of an event of whatever type."""
    return json.dumps({"oneOf": [schema(kind) for kind in EVENT_MODELS]}, indent=1) + "\n"


def _fields(data: type[BaseModel]) -> list[str]:
    properties = data.model_json_schema(by_alias=True)["properties"]
    return [f"| `{name}` | {_said(one)} |" for name, one in properties.items()]


def _said(one: dict[str, Any]) -> str:
    names = [_kind(part) for part in one.get("anyOf", [one])]
    said = f"; {one['description'][0].lower()}{one['description'][1:]}" if "description" in one else ""
    return " or ".join(names) + said


def _kind(part: dict[str, Any]) -> str:
    if "enum" in part or "const" in part:
        return ", ".join(f"`{value}`" for value in part.get("enum", [part.get("const")]))
    return {"uuid": "id"}.get(part.get("format", ""), str(part.get("type", "object")))


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    (directory / "events.md").write_text(document(), encoding="utf-8")
    (directory / "events.schema.json").write_text(schemas(), encoding="utf-8")
