"""A settlement wallet for the localnet of `pay402 up`, so that the marketplace pays out there without any setting."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from solders.keypair import Keypair

from chain.rpc import RpcError, RpcPool
from localnet.genesis import DEVNET_TOKENS
from runtime.errors import OperatorError

_LAMPORTS: Final = 10_000_000_000


@dataclass(frozen=True, slots=True)
class LocalSettlement:
    """A settlement wallet of a local chain; `before` is the one that its key's file held until now."""

    address: str
    before: str | None


async def local_settlement(file: Path, rpc_url: str) -> LocalSettlement:
    """Make a wallet whose key is in `file`, and give it SOL and accounts.

    The chain is new each time, and so is the wallet: what the ledger holds of the old one is of a chain that is gone.

    Raises:
        OperatorError: The localnet refuses, or the file cannot be used.
    """
    before = address_of_key(file)
    address = write_new_key(file)
    try:
        async with RpcPool([rpc_url]) as rpc:
            await rpc.call("requestAirdrop", [address, _LAMPORTS], Any)
            for token in DEVNET_TOKENS:
                await rpc.call("localnet_fundToken", [address, token.mint, 0], Any)
    except RpcError as error:
        raise OperatorError(f"The settlement wallet cannot be prepared ({error}); start `pay402 up` again.") from error
    return LocalSettlement(address, before)


def address_of_key(file: Path) -> str | None:
    """The address of the key in a file; `None` where there is no key in it."""
    try:
        return str(Keypair.from_json(file.read_text(encoding="utf-8")).pubkey())
    except (OSError, ValueError):
        return None


def write_new_key(file: Path) -> str:
    """Write a new key where only this user can read it; returns its address."""
    keypair = Keypair()
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(msgspec.json.encode(list(bytes(keypair))))
    return str(keypair.pubkey())
