"""Which user each agent on the marketplace belongs to: the first to use its id, as provider or as client."""

from ledger.sql import Database, load_queries

_queries = load_queries("ledger", "agent_ids.sql")


async def take_agent_id(database: Database, agent_id: str, user_id: str) -> bool:
    """Give `agent_id` to a user unless somebody else has it.

    Returns:
        True where this user has it now. False where another user has it, or another user's id is the same.
    """
    is_theirs: bool = await _queries.take_agent_id(database, agent_id=agent_id, user_id=user_id)
    return is_theirs
