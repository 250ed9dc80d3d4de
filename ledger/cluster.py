"""Which cluster the ledger is about, by the hash of that cluster's first block.

The functions take a database connection or pool.
"""

from ledger.sql import Database, load_queries

_queries = load_queries("ledger", "cluster.sql")


async def named_cluster(database: Database) -> str | None:
    """The genesis hash of the ledger's cluster; `None` before its first use."""
    found: str | None = await _queries.named_cluster(database)
    return found


async def may_name_cluster(database: Database) -> bool:
    """Return True when the login has the right to name the ledger's cluster."""
    allowed: bool = await _queries.may_name_cluster(database)
    return allowed


async def name_cluster(database: Database, genesis_hash: str, network: str) -> str:
    """Name the ledger's cluster unless it has one; returns the genesis hash that counts from then on."""
    await _queries.name_cluster(database, genesis_hash=genesis_hash, network=network)
    return await named_cluster(database) or genesis_hash
