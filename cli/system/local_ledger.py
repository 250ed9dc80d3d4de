"""The ledger of a local chain: it is emptied when the chain is a new one, and follows its settlement wallet."""

from typing import Final

from ledger.cluster import named_cluster
from ledger.recipients import register_wallet, stop_following
from runtime.connection_string import place
from runtime.database import open_connection
from runtime.errors import OperatorError

# What is true of every chain: the rows that the schema itself holds, the known tokens, and who may use the API. Ids of
# events are never given again, so the feed goes on from where it stands. That reports have to be counted anew is noted
# by what empties the transfers.
_STAYS: Final = frozenset(
    {"alembic_version", "api_keys", "feed_position", "report_state", "state_transitions", "tokens"}
)
_SETTLEMENT_USER: Final = "marketplace"
_TABLES: Final = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


async def match_ledger(dsn: str, genesis: str, *, is_embedded: bool) -> bool:
    """Empty the ledger at `dsn` when it is about another chain than the local one, whose genesis hash is given.

    API keys stay. A ledger that is not embedded is never emptied.

    Returns:
        True when it was emptied.

    Raises:
        OperatorError: It is about another chain and belongs to somebody else.
    """
    async with open_connection(dsn) as connection:
        if await named_cluster(connection) in {None, genesis}:
            return False
        if not is_embedded:
            raise OperatorError(
                f"The ledger at {place(dsn)} is about another chain than the local one, which is new; "
                "give DATABASE_URL of an empty database, or SOLANA_RPC_URL of the ledger's own chain."
            )
        tables = [row["tablename"] for row in await connection.fetch(_TABLES) if row["tablename"] not in _STAYS]
        await connection.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
    return True


async def follow_settlement(dsn: str, wallet: str, *, before: str | None) -> None:
    """Follow the settlement wallet of a local chain instead of the one of the chain before."""
    async with open_connection(dsn) as connection:
        if before is not None:
            await stop_following(connection, before)
        await register_wallet(
            connection, address=wallet, user_id=_SETTLEMENT_USER, label="settlement of jobs", followed_from_slot=0
        )
