"""Each Solana node: healthy, of the cluster we mean, abreast of the others, and with a socket that speaks."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from chain.hosts import host_of
from chain.pubsub import reason_of
from chain.rpc import RpcError, RpcLimits, RpcPool
from cli.diagnosis.diagnoses import Diagnosis, bad, doubtful, good
from runtime.cluster import cluster_name, is_of_network

_BEHIND_SLOTS: Final = 30
_FAR_BEHIND_SLOTS: Final = 150
# A payment's timestamp may be a minute ahead: beyond that, honest ones are refused. Block time is a median of the
# validators' clocks and seconds off itself.
_CLOCK_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 8.0
_SOCKET_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 1.0
_SLOT_SUBSCRIBE: Final = '{"jsonrpc":"2.0","id":1,"method":"slotSubscribe"}'
_LIMITS: Final = RpcLimits(answer_seconds=_ANSWER_SECONDS, attempts=2, call_seconds=2 * _ANSWER_SECONDS)


class _Version(msgspec.Struct, rename={"solana_core": "solana-core"}):
    solana_core: str = "unknown"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one node answered; `slot` is None when it did not."""

    diagnoses: list[Diagnosis]
    slot: int | None = None


async def examine(rpc_urls: Sequence[str], ws_urls: Sequence[str], network: str) -> list[Diagnosis]:
    """Every diagnosis about the nodes, each asked by itself."""
    seen = await asyncio.gather(*(_rpc(url, network) for url in rpc_urls))
    sockets = await asyncio.gather(*(_socket(url) for url in ws_urls))
    newest = max((one.slot for one in seen if one.slot is not None), default=0)
    found = []
    for url, one in zip(rpc_urls, seen, strict=True):
        found += one.diagnoses
        if one.slot is not None and len(rpc_urls) > 1:
            found.append(_abreast(host_of(url), newest - one.slot))
    return [*found, *sockets]


async def _rpc(url: str, network: str) -> _Seen:
    part = f"node {host_of(url)}"
    async with RpcPool([url], _LIMITS) as pool:
        try:
            genesis: str = await pool.call("getGenesisHash", [], str)
            version: _Version = await pool.call("getVersion", [], _Version)
            slot: int = await pool.call("getSlot", [{"commitment": "confirmed"}], int)
        except RpcError as error:
            return _Seen([bad(part, "answers", str(error), "correct SOLANA_RPC_URL, its key or the plan behind it")])
        found = [good(part, "answers", f"version {version.solana_core}, slot {slot}")]
        found += _genesis(part, genesis, network)
        try:
            await pool.call("getHealth", [], str, attempts=1)
        except RpcError as error:
            remedy = "ask the provider; another endpoint in SOLANA_RPC_URL takes over meanwhile"
            found.append(bad(part, "health", str(error), remedy))
        found.append(await _clock(part, pool, slot, network))
        return _Seen(found, slot)


def _genesis(part: str, genesis: str, network: str) -> list[Diagnosis]:
    if is_of_network(genesis, network):
        return [good(part, "cluster", f"{network}, by its genesis hash")]
    detail = f"it serves {cluster_name(genesis)}, but SOLANA_NETWORK is {network}"
    return [bad(part, "cluster", detail, "correct SOLANA_NETWORK or SOLANA_RPC_URL before anything is indexed")]


async def _clock(part: str, pool: RpcPool, slot: int, network: str) -> Diagnosis:
    """Our clock against the time of a confirmed block; a slot may have been skipped, so some below it are tried."""
    block_time: int | None = None
    for candidate in range(slot, max(slot - 8, 0), -1):
        with suppress(RpcError):
            block_time = await pool.call("getBlockTime", [candidate], int | None, attempts=1)
        if block_time is not None:
            break
    if block_time is None:
        return doubtful(part, "clock", "no recent block time is to be had", "run this again")
    apart = time.time() - block_time
    detail = f"ours is {apart:+.0f} s from the chain's"
    if abs(apart) <= _CLOCK_SECONDS:
        return good(part, "clock", detail)
    if network == "localnet":
        return doubtful(part, "clock", detail, "nothing, where the localnet was paused")
    return bad(part, "clock", detail, "synchronise this machine with NTP; if that is right, the node is far behind")


def _abreast(host: str, behind: int) -> Diagnosis:
    part, detail = f"node {host}", f"{behind} slots behind the newest"
    if behind > _FAR_BEHIND_SLOTS:
        return bad(part, "abreast", detail, "put it last in SOLANA_RPC_URL or take it out")
    if behind > _BEHIND_SLOTS:
        return doubtful(part, "abreast", detail, "watch it: payments are seen later through it")
    return good(part, "abreast", detail)


async def _socket(url: str) -> Diagnosis:
    """The indexer takes a socket without slots for dead: this one must show one."""
    part = f"socket {host_of(url)}"
    remedy = "correct SOLANA_WS_URL, or ask the provider for slotSubscribe and logsSubscribe"
    try:
        async with asyncio.timeout(_SOCKET_SECONDS), connect(url, proxy=None, close_timeout=_CLOSE_SECONDS) as socket:
            await socket.send(_SLOT_SUBSCRIBE)
            return await _first_slot(part, socket, remedy)
    except TimeoutError:
        return bad(part, "slots", f"no slot within {_SOCKET_SECONDS:g} s", remedy)
    except ConnectionClosed:
        return bad(part, "slots", "it closes without a slot", remedy)
    except (WebSocketException, OSError, ValueError) as error:
        return bad(part, "slots", f"it cannot be opened ({reason_of(error)})", remedy)


async def _first_slot(part: str, socket: ClientConnection, remedy: str) -> Diagnosis:
    while True:
        message, answer = await socket.recv(decode=False), None
        with suppress(msgspec.DecodeError):
            answer = msgspec.json.decode(message)
        match answer:
            case {"method": "slotNotification", "params": {"result": {"slot": int(slot)}}}:
                return good(part, "slots", f"it shows slot {slot}")
            case {"error": {"message": str(reason)}}:
                return bad(part, "slots", f"it refuses slotSubscribe ({reason})", remedy)
            case _:
                continue
