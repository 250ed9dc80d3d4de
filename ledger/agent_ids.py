"""Whose each agent on the marketplace is: the user who used its id first, as provider or as client."""

from ledger.sql import Database, load_queries

_queries = load_queries("ledger", "agent_ids.sql")


async def take_agent_id(database: Database, agent_id: str, user_id: str) -> bool:
    """Give `agent_id` to a user unless somebody else has it.

    Returns:
        True where it is this user's by now. False where another user has it, or is called so.
    """
    is_theirs: bool = await _queries.take_agent_id(database, agent_id=agent_id, user_id=user_id)
    return is_theirs
