"""A fee payer for the localnet of `pay402 up`, so that payments over x402 are settled there without any setting."""

from pathlib import Path
from typing import Any, Final

from chain.rpc import RpcError, RpcPool
from cli.system.settlement_wallet import address_of_key, write_new_key
from runtime.errors import OperatorError

_LAMPORTS: Final = 10_000_000_000


async def local_fee_payer(file: Path, rpc_url: str) -> None:
    """Give SOL to the fee payer whose key is in `file`, which is made where it is missing.

    The key stays when the chain is new: sellers keep the fee payer that they were named.

    Raises:
        OperatorError: The localnet refuses, or the file cannot be used.
    """
    address = address_of_key(file) or write_new_key(file)
    try:
        async with RpcPool([rpc_url]) as rpc:
            await rpc.call("requestAirdrop", [address, _LAMPORTS], Any)
    except RpcError as error:
        raise OperatorError(f"The fee payer cannot be given SOL ({error}); start `pay402 up` again.") from error
