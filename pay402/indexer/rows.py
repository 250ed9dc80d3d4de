"""What one transaction writes into the ledger, as the JSON that `record_batch` reads.

JSON because asyncpg looks at every element of an array by itself, which cost more than decoding the transaction.
"""

from msgspec import Raw, Struct
from msgspec.json import Encoder

from pay402.indexer.watchlist import Entry

_encode = Encoder().encode


class Rows(Struct, frozen=True, gc=False):
    """One JSON object a row: the transaction with a `Movement`, a `BalanceChange` or a `FollowedAccount`.

    `landed` is the transaction by itself; `unexplained` says how much of it no movement explains, as a count.
    """

    signature: str
    unexplained: int
    landed: Raw
    moved: list[Raw]
    changed: list[Raw]
    opened: list[Raw]


def rows_of(entry: Entry) -> Rows:
    """Encode everything that the ledger keeps of a transaction. Amounts are JSON numbers of any size."""
    observation = entry.observation
    transaction = _encode(
        {
            "signature": observation.signature,
            "slot": observation.slot,
            "block_time_seconds": observation.block_time_seconds,
            "notified_at": entry.notified_at,
            # Postgres text holds every character but NUL.
            "memos": [memo.replace("\0", "\N{REPLACEMENT CHARACTER}") for memo in observation.memos],
        }
    )
    # Every row begins with the transaction, which is encoded once.
    opening = transaction[:-1] + b","
    return Rows(
        signature=observation.signature,
        unexplained=len(observation.unexplained),
        landed=Raw(transaction),
        moved=[Raw(opening + _encode(movement)[1:]) for movement in entry.movements],
        changed=[
            Raw(b'%s"unexplained":%d,%s' % (opening, unexplained, _encode(change)[1:]))
            for change, unexplained in entry.changes
        ],
        opened=[Raw(opening + _encode(account)[1:]) for account in entry.opened],
    )
