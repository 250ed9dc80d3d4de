"""Seals by the newest key what webhooks are signed with, so that an older key, or none, is not needed any more."""

from typing import Final

import structlog

from ledger.webhooks import keys_sealed_otherwise, reseal_keys, seals
from worker.context import WorkerContext

_log = structlog.get_logger(__name__)
_PER_STATEMENT: Final = 500


async def seal_webhooks(context: WorkerContext) -> int:
    """Seal anew every webhook's keys that are not sealed by the newest key; returns how many were.

    What is sealed by a key that is not set stays as it is, and is logged: nothing is sent to its webhooks meanwhile.
    """
    seal, database, done = context.webhook_seal, context.database, 0
    while seal.newest is not None:
        found = await keys_sealed_otherwise(database, seal.newest, known=seal.names, limit=_PER_STATEMENT)
        changes = [(webhook_id, old, seal.seal(webhook_id, seal.open(webhook_id, old))) for webhook_id, old in found]
        done += await reseal_keys(database, changes)
        if len(found) < _PER_STATEMENT:
            break
    for name, count in await seals(database):
        if name is not None and name not in seal.names:
            _log.error("webhook_key_missing", key_name=name, webhooks=count)
    return done
