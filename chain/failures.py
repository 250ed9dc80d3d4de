"""That a transaction has failed for good, by more than one word of a node that is the only one."""

from chain.decode import MalformedAnswerError, decode
from chain.landing import Fate, LandingState
from chain.node import Node


async def has_failed(node: Node, signature: str, fate: Fate) -> bool:
    """Whether a transaction of which that is said has failed for good.

    Where one endpoint decides alone, it has to show the transaction itself, finalized, as one that failed.

    Raises:
        RpcError: No endpoint answered.
    """
    if fate.landing is not LandingState.FAILED:
        return False
    if node.pool.agreeing_min > 1:
        return True
    result = await node.transaction(signature, commitment="finalized")
    try:
        observation = None if result is None else decode(result)
    except MalformedAnswerError:
        return False
    return observation is not None and observation.signature == signature and observation.failed
