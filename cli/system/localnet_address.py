"""Where the chain is: as configured, or the localnet that `pay402 up` runs below the same home."""

from pathlib import Path
from typing import Final

import msgspec

from runtime.errors import OperatorError
from runtime.settings import SolanaSettings

_NOTE: Final = "localnet.json"


class _Note(msgspec.Struct):
    rpc: str
    ws: str


def solana_endpoints(settings: SolanaSettings) -> tuple[list[str], list[str]]:
    """RPC and PubSub addresses. Raises OperatorError when there is neither a setting nor a localnet."""
    if settings.rpc_urls:
        return settings.rpc_urls, settings.ws_urls
    try:
        note = msgspec.json.decode((settings.home / _NOTE).read_bytes(), type=_Note)
    except (OSError, msgspec.MsgspecError):
        raise OperatorError(
            f"SOLANA_RPC_URL is not set and no localnet runs below {settings.home}; set it, or start `pay402 up` first."
        ) from None
    return [note.rpc], [note.ws]


def announce_localnet(home: Path, rpc: str, ws: str) -> None:
    """Write down where the localnet is, for other commands of this home."""
    home.mkdir(parents=True, exist_ok=True)
    (home / _NOTE).write_bytes(msgspec.json.encode(_Note(rpc, ws)))


def withdraw_localnet(home: Path) -> None:
    """The localnet has ended."""
    (home / _NOTE).unlink(missing_ok=True)
