"""What one transaction writes into the ledger, as the JSON that `record_batch` reads.

JSON because asyncpg looks at every element of an array by itself, which cost more than decoding the transaction.
"""

from collections.abc import Iterable

from msgspec import Raw, Struct
from msgspec.json import Encoder

from indexer.watchlist import Entry

_encode = Encoder().encode


class Rows(Struct, frozen=True, gc=False):
    """Rows as JSON objects with commas between them: in each the transaction with a movement, a change or an account.

    `landed` is the transaction by itself; `unexplained` is the number of its balance changes that no movement explains.
    """

    signature: str
    unexplained: int
    landed: bytes
    moved: bytes
    changed: bytes
    opened: bytes


class _Landed(Struct, gc=False):
    signature: str
    slot: int | None
    block_time_seconds: int | None
    notified_at: float | None
    memos: list[str]


def rows_of(entry: Entry) -> Rows:
    """Encode everything that the ledger keeps of a transaction. Amounts are JSON numbers of any size."""
    observation = entry.observation
    # Postgres text holds every character but NUL.
    memos = [memo.replace("\0", "\N{REPLACEMENT CHARACTER}") for memo in observation.memos]
    landed = _encode(
        _Landed(observation.signature, observation.slot, observation.block_time_seconds, entry.notified_at, memos)
    )
    # Every row begins with the transaction, which is encoded once.
    opening = landed[:-1] + b","
    return Rows(
        signature=observation.signature,
        unexplained=len(observation.unexplained),
        landed=landed,
        moved=b",".join([opening + _encode(movement)[1:] for movement in entry.movements]),
        changed=b",".join(
            [
                b'%s"unexplained":%d,%s' % (opening, unexplained, _encode(change)[1:])
                for change, unexplained in entry.changes
            ]
        ),
        opened=b",".join([opening + _encode(account)[1:] for account in entry.opened]),
    )


def array_of(rows: Iterable[bytes]) -> Raw:
    """One JSON array of the rows of several transactions, some of which have none."""
    return Raw(b"[%s]" % b",".join(filter(None, rows)))
