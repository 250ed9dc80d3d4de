"""Checks that every node is of the cluster that the settings name and that the ledger is about.

A node of another cluster answers every question well, about money that is worth nothing. So each endpoint is asked
for its genesis hash before it is believed, and again while the process runs: an address may lead elsewhere tomorrow.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from chain.backoff import Backoff
from chain.hosts import host_of
from chain.rpc import RpcError, RpcLimits, RpcPool
from ledger.cluster import may_name_cluster, name_cluster, named_cluster
from ledger.sql import Database
from runtime.database_errors import DATABASE_ERRORS, DatabaseTroubles
from runtime.errors import OperatorError

_log = structlog.get_logger(__name__)

GENESIS_HASHES: Final = {
    "mainnet-beta": "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d",
    "devnet": "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG",
    "testnet": "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY",
}
"""The hash of each public cluster's first block: the one name that a node cannot be mistaken about."""

WRONG_CLUSTER: Final = 4
"""The exit code of a process whose node is of another cluster."""

_LIMITS: Final = RpcLimits(answer_seconds=3.0, attempts=1, call_seconds=3.0)
_AGAIN_SECONDS: Final = 60.0
_UNANSWERED_BACKOFF: Final = Backoff(1.0, _AGAIN_SECONDS)


def cluster_name(genesis_hash: str) -> str:
    """The cluster of a genesis hash, for people."""
    return next((name for name, known in GENESIS_HASHES.items() if known == genesis_hash), "a private cluster")


def is_of_network(genesis_hash: str, network: str) -> bool:
    """True when a node with this genesis hash serves `network`; a localnet is whatever is none of the public ones."""
    wanted = GENESIS_HASHES.get(network)
    return genesis_hash == wanted if wanted else genesis_hash not in GENESIS_HASHES.values()


async def check_cluster(database: Database, rpc_urls: Sequence[str], network: str) -> set[str]:
    """Pass when every node that answers is of the cluster that `network` names and that the ledger is about.

    At the first use of the ledger its cluster is stored, by the first process or command that asks a node and whose
    login may store it. Until then a login that may not, which is the API's, holds the nodes against `network` and
    against each other.

    Args:
        database: A connection or pool of the ledger.
        rpc_urls: Every endpoint of the process.
        network: SOLANA_NETWORK.

    Returns:
        The endpoints that did not answer, of which nothing is known yet.

    Raises:
        OperatorError: A node is of another cluster; the exit code is `WRONG_CLUSTER`.
    """
    hashes = await asyncio.gather(*map(_genesis_hash, rpc_urls))
    ledger = await named_cluster(database)
    for url, found in zip(rpc_urls, hashes, strict=True):
        if found is None:
            continue
        if not is_of_network(found, network):
            raise OperatorError(
                f"The node {host_of(url)} serves {cluster_name(found)}, but SOLANA_NETWORK is {network}; "
                "correct SOLANA_RPC_URL or SOLANA_NETWORK.",
                exit_code=WRONG_CLUSTER,
            )
        if ledger is None:
            may_name = await may_name_cluster(database)
            ledger = await name_cluster(database, found, network) if may_name else found
        if found != ledger:
            raise OperatorError(
                f"The ledger is about another chain (genesis hash {ledger}) than the node {host_of(url)} serves "
                f"({found}); correct SOLANA_RPC_URL, or give DATABASE_URL of an empty database.",
                exit_code=WRONG_CLUSTER,
            )
    return {url for url, found in zip(rpc_urls, hashes, strict=True) if found is None}


async def expected_genesis(database: Database, network: str) -> str | None:
    """The genesis hash that every node must have; `None` for a local chain at the ledger's first use."""
    return await named_cluster(database) or GENESIS_HASHES.get(network)


async def check_network(database: Database, network: str) -> None:
    """Pass unless the ledger is known to be about another network; for commands that ask no node.

    Raises:
        OperatorError: It is; the exit code is `WRONG_CLUSTER`.
    """
    ledger = await named_cluster(database)
    if ledger is not None and not is_of_network(ledger, network):
        raise OperatorError(
            f"The ledger is about {cluster_name(ledger)}, but SOLANA_NETWORK is {network}; "
            "correct SOLANA_NETWORK or DATABASE_URL.",
            exit_code=WRONG_CLUSTER,
        )


async def watch_cluster(database: Database, rpc_urls: Sequence[str], network: str, troubles: DatabaseTroubles) -> None:
    """Go on asking, until cancelled: once a minute, and sooner those that have not answered yet.

    `troubles` counts failures of the database; the other arguments are those of `check_cluster`.

    Raises:
        OperatorError: A node has changed its cluster, or turned out to be of another.
    """
    unknown = set(rpc_urls)
    pauses = iter(_UNANSWERED_BACKOFF)
    while True:
        await asyncio.sleep(next(pauses) if unknown else _AGAIN_SECONDS)
        if not unknown:
            pauses = iter(_UNANSWERED_BACKOFF)
        try:
            unknown = await check_cluster(database, sorted(unknown) or rpc_urls, network)
        except OperatorError as error:
            _log.critical("wrong_cluster", error=str(error))
            raise
        except DATABASE_ERRORS as error:
            await asyncio.sleep(troubles.note("checking the cluster", error))


async def _genesis_hash(url: str) -> str | None:
    """The genesis hash of a node; `None` while it does not answer."""
    async with RpcPool([url], _LIMITS) as pool:
        try:
            found: str = await pool.call("getGenesisHash", [], str)
        except RpcError:
            return None
    return found
