"""The ledger of a local chain: it is emptied when the chain is a new one."""

from typing import Any, Final

from chain.rpc import RpcError, RpcPool
from ledger.cluster import named_cluster
from runtime.connection_string import place
from runtime.database import open_connection
from runtime.errors import OperatorError

# What is true of every chain: the rows that the schema itself holds, the known tokens, and who may use the API. Ids of
# events are never given again, so the feed goes on from where it stands.
_STAYS: Final = frozenset({"alembic_version", "api_keys", "feed_position", "state_transitions", "tokens"})
_TABLES: Final = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


async def match_ledger(dsn: str, rpc_url: str, *, is_embedded: bool) -> bool:
    """Empty the ledger at `dsn` when it is about another chain than the local one at `rpc_url`.

    API keys stay. A ledger that is not embedded is never emptied.

    Returns:
        True when it was emptied.

    Raises:
        OperatorError: It is about another chain and belongs to somebody else, or the chain cannot be asked.
    """
    try:
        async with RpcPool([rpc_url]) as rpc:
            genesis = await rpc.call("getGenesisHash", [], Any)
    except RpcError as error:
        raise OperatorError(f"The localnet cannot be asked ({error}); start it again.") from error
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
