"""What the marketplace's routes work with."""

from dataclasses import dataclass
from typing import Annotated

import asyncpg
from fastapi import Depends, Request

from api.access.caller import Caller
from api.http.errors import conflict, forbidden, invalid, unavailable
from api.tokens import Token, TokenBook
from chain.addresses import NotAWalletError, check_payee, parse_address
from chain.node import Node
from chain.rpc import RpcError
from ledger.agent_ids import take_agent_id
from ledger.recipients import Recipient, find_recipient
from ledger.sql import DatabaseConnection


@dataclass(frozen=True, slots=True)
class MarketplaceContext:
    """What the marketplace's routes work with, opened once by the process.

    Attributes:
        settlement_wallet: The wallet that jobs are paid to; `None` where none is set, and nothing can be ordered.
        funding_seconds: How long a client has to fund a job.
        job_seconds: The time from order to deadline of a job whose client names no deadline.
        currencies: The symbols, in capitals, of the tokens in which services have their prices.
        is_production: Examples are offered only after a confirmation.
    """

    database: asyncpg.Pool
    tokens: TokenBook
    node: Node
    settlement_wallet: str | None
    funding_seconds: float
    job_seconds: float
    currencies: tuple[str, ...]
    is_production: bool

    async def find_token(self, currency: str) -> Token:
        """The token of a price.

        Raises:
            ApiError: 400 for a currency that is unknown, or in which services have no prices.
        """
        token = await self.tokens.find(currency, None)
        if not self.takes(token.symbol):
            raise invalid(
                f"Services have their prices in {', '.join(self.currencies)}; send one of them.", {"currency": currency}
            )
        return token

    def takes(self, symbol: str) -> bool:
        """True for the symbol of a token in which services have their prices."""
        return symbol.upper() in self.currencies

    async def payee(self, text: str, caller: Caller, *, paid_by: str | None = None) -> str:
        """The wallet that `text` names and to which money may be sent; its holder or a program can sign for it.

        It is not the wallet that pays: `paid_by`, or the settlement wallet.

        Raises:
            ApiError: 400 where it is none, 503 where no node says what it is.
        """
        field = {"field": "payoutAddress"}
        if (address := parse_address(text)) is None:
            raise invalid("payoutAddress is not a Solana address; send a wallet's.", field)
        try:
            await check_payee(
                self.node, address, may_be_of_program=caller.is_admin, paid_by=paid_by or self.settlement_wallet
            )
        except NotAWalletError as error:
            raise invalid(str(error), field) from None
        except RpcError as error:
            raise unavailable("Solana node that checks the wallet") from error
        return address

    async def settlement_recipient(self) -> Recipient:
        """The wallet that jobs are paid to.

        Raises:
            ApiError: 409 where none is set or followed; repeating the request does not help.
        """
        address = self.settlement_wallet
        found = await find_recipient(self.database, address) if address else None
        if found is None or not found.is_active:
            raise conflict(
                "The marketplace has no settlement wallet that is followed, so nothing can be paid for; "
                "its operator sets SETTLEMENT_WALLET and adds it with `pay402 recipients add`."
            )
        return found


def marketplace_context(request: Request) -> MarketplaceContext:
    """The context of the process that serves `request`."""
    context: MarketplaceContext = request.app.state.marketplace
    return context


Marketplace = Annotated[MarketplaceContext, Depends(marketplace_context)]
"""The parameter by which a handler asks for the marketplace's context."""


async def own_agent_id(connection: DatabaseConnection, agent_id: str, caller: Caller) -> None:
    """Make `agent_id` the caller's, unless it belongs to somebody else.

    Raises:
        ApiError: 403 where it belongs to another user.
    """
    if not await take_agent_id(connection, agent_id, caller.user_id):
        raise forbidden(f"The agent {agent_id!r} belongs to another user; send an agentId of your own.")
