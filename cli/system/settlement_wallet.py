"""A settlement wallet for the localnet of `pay402 up`, so that the marketplace pays out there without any setting."""

import os
from pathlib import Path
from typing import Any, Final

import msgspec
from solders.keypair import Keypair

from chain.rpc import RpcError, RpcPool
from ledger.recipients import register_wallet, stop_following
from localnet.genesis import DEVNET_TOKENS
from runtime.database import open_connection
from runtime.errors import OperatorError

USER: Final = "marketplace"
_FILE: Final = "settlement.json"
_LAMPORTS: Final = 10_000_000_000


async def local_settlement(home: Path, dsn: str, rpc_url: str) -> tuple[str, str]:
    """Make a wallet's key below `home`, give it SOL and accounts, and follow it instead of the one before.

    The chain is new each time, and so is the wallet: what the ledger holds of the old one is of a chain that is gone.

    Returns:
        The wallet's address, and the file that holds its key.

    Raises:
        OperatorError: The localnet refuses, or the file cannot be used.
    """
    file = home / _FILE
    before = _address(file)
    address = write_new_key(file)
    try:
        async with RpcPool([rpc_url]) as rpc:
            await rpc.call("requestAirdrop", [address, _LAMPORTS], Any)
            for token in DEVNET_TOKENS:
                await rpc.call("localnet_fundToken", [address, token.mint, 0], Any)
    except RpcError as error:
        raise OperatorError(f"The settlement wallet cannot be prepared ({error}); start `pay402 up` again.") from error
    async with open_connection(dsn) as connection:
        if before is not None:
            await stop_following(connection, before)
        await register_wallet(
            connection, address=address, user_id=USER, label="settlement of jobs", followed_from_slot=0
        )
    return address, str(file.resolve())


def _address(file: Path) -> str | None:
    """The wallet of the key that is there from before."""
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
