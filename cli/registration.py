"""Following a wallet on an operator's word: checked on chain first, then registered."""

from typing import Final

import asyncpg

from chain.addresses import NotAWalletError, parse_address, slot_of_wallet
from chain.node import Node
from chain.rpc import RpcError, RpcLimits, RpcPool
from cli.system.localnet_address import solana_endpoints
from ledger.recipients import Registration, find_recipient, followed_from, has_open_jobs, register_wallet
from runtime.errors import OperatorError
from runtime.settings import SolanaSettings

_OPERATOR: Final = "operator"


async def register(
    database: asyncpg.Connection | asyncpg.Pool,
    settings: SolanaSettings,
    address: str,
    *,
    user: str | None,
    label: str | None = None,
    from_genesis: bool = False,
    environment: str = "live",
) -> Registration:
    """Follow the wallet `address` from the chain's newest slot on, or from its first transaction.

    Without a `user` it stays whose it was, or becomes the operator's. With the environment `test` it is for payments
    that test keys request and verify.

    Raises:
        OperatorError: It is no address, no wallet, or another user's, it is live already where it is to be for tests,
            or the chain cannot be asked.
    """
    wallet = wallet_address(address)
    newest_slot = await _slot_of_wallet(settings, wallet)
    before = await find_recipient(database, wallet)
    registration = await register_wallet(
        database,
        address=wallet,
        user_id=user or (before.user_id if before else _OPERATOR),
        label=label,
        followed_from_slot=0 if from_genesis else followed_from(newest_slot),
        environment=environment,
    )
    if registration is None and before is not None and (before.environment, environment) == ("live", "test"):
        raise OperatorError(
            f"{wallet} is live already; run `pay402 recipients for-tests {wallet}` to make it one for tests."
        )
    if registration is None:
        owner = before.user_id if before else "somebody else"
        if not (before and before.is_active) and await has_open_jobs(database, wallet):
            raise OperatorError(
                f"Jobs are open that are paid to {wallet}, for {owner}; give --user {owner} until they have ended."
            )
        raise OperatorError(f"{wallet} belongs to the user {owner}; give --user {owner}, or another wallet.")
    return registration


def wallet_address(address: str) -> str:
    """`address`, once it is one.

    Raises:
        OperatorError: It is no base58 address.
    """
    wallet = parse_address(address)
    if wallet is None:
        raise OperatorError(f"{address!r} is not a Solana address; give the base58 address of a wallet.")
    return wallet


async def _slot_of_wallet(settings: SolanaSettings, wallet: str) -> int:
    """The slot from which `wallet` is followed: the newest one. Refuses what cannot be a wallet."""
    urls, _ = solana_endpoints(settings)
    remedy = "correct SOLANA_RPC_URL or try again" if settings.rpc_urls else "start `pay402 up` again"
    limits = RpcLimits(
        answer_seconds=10.0, attempts=4, call_seconds=15.0, requests_per_second=settings.rpc_requests_per_second
    )
    try:
        async with RpcPool(urls, limits) as pool:
            return await slot_of_wallet(Node(pool), wallet)
    except NotAWalletError as error:
        raise OperatorError(str(error)) from None
    except RpcError as error:
        raise OperatorError(f"The wallet cannot be checked on chain: {error}; {remedy}.") from error
