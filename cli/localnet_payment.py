"""A payment on the localnet, as a buyer's wallet makes it: to a wallet, or as a Solana Pay link asks."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed
from solana.rpc.core import RPCException
from solana.rpc.jsonrpc import JsonRpcRequest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from spl.token import instructions as spl
from spl.token.models import TransferCheckedParams

from chain.instructions import with_references
from chain.programs import MEMO_PROGRAM
from ledger.amounts import AmountError, parse_amount, to_base_units
from localnet.genesis import DEVNET_TOKENS
from runtime.errors import OperatorError

_FEE_LAMPORTS: Final = 1_000_000_000
"""What the payer is given for fees and for the recipient's token account."""
_MEMO_BYTES_MAX: Final = 566


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be paid.

    Attributes:
        recipient: The wallet that is paid.
        mint: The token, one that the localnet has; `program` is that of its accounts.
        amount: In base units.
        references: Keys by which the payment is found.
        memo: What is written beside it, as a payment request's nonce.
    """

    recipient: Pubkey
    mint: Pubkey
    program: Pubkey
    symbol: str
    decimals: int
    amount: int
    references: Sequence[Pubkey] = ()
    memo: str | None = None


def order_to_wallet(wallet: str, amount: str, symbol: str, memo: str | None) -> Order:
    """A payment to a wallet.

    Raises:
        OperatorError: The token is none of the localnet's, or the amount is none of the token.
    """
    token = next((one for one in DEVNET_TOKENS if one.symbol == symbol.upper()), None)
    if token is None:
        known = ", ".join(one.symbol for one in DEVNET_TOKENS)
        raise OperatorError(f"The localnet has no token {symbol!r}; give one of {known}.")
    return _order(wallet, _amount(amount), token.mint, (), memo)


def order_of_link(link: str) -> Order:
    """What a Solana Pay transfer request asks for.

    Source: the Solana Pay specification, `solana:<recipient>?amount=&spl-token=&reference=&memo=`.

    Raises:
        OperatorError: It is no such link, names no amount, or a token that the localnet has not.
    """
    parts = urlsplit(link)
    fields = parse_qs(parts.query)
    if parts.scheme != "solana" or "amount" not in fields or "spl-token" not in fields:
        raise OperatorError("A Solana Pay link has the form solana:WALLET?amount=…&spl-token=…; give such a one.")
    memo = fields.get("memo", [None])[0]
    references = fields.get("reference", [])
    return _order(unquote(parts.path), _amount(fields["amount"][0]), fields["spl-token"][0], references, memo)


async def pay(rpc_url: str, order: Order) -> str:
    """Pay from a new wallet with money of the localnet's faucet; returns the signature once it is confirmed.

    Raises:
        OperatorError: The node at `rpc_url` is no localnet, or refused the payment.
    """
    payer = Keypair()
    async with AsyncClient(rpc_url, Confirmed) as node:
        try:
            return await _pay(node, payer, order)
        except (RPCException, SolanaRpcException, OSError) as error:
            reason = str(error) or type(error).__name__
            raise OperatorError(f"The node did not take the payment ({reason}); start `pay402 up` first.") from error


async def _pay(node: AsyncClient, payer: Keypair, order: Order) -> str:
    await node.request_airdrop(payer.pubkey(), lamports=_FEE_LAMPORTS)
    funding = [str(payer.pubkey()), str(order.mint), order.amount]
    await node.send_rpc_request(JsonRpcRequest(method="localnet_fundToken", params=funding), str)
    instructions = [
        spl.create_idempotent_associated_token_account(payer.pubkey(), order.recipient, order.mint, order.program)
    ]
    if order.memo is not None:
        instructions.append(Instruction(Pubkey.from_string(MEMO_PROGRAM), order.memo.encode(), []))
    instructions.append(with_references(_transfer(payer.pubkey(), order), order.references))
    latest = (await node.get_latest_blockhash()).value
    message = MessageV0.try_compile(payer.pubkey(), instructions, [], latest.blockhash)
    sent = await node.send_transaction(VersionedTransaction(message, [payer]))
    await node.confirm_transaction(sent.value, last_valid_block_height=latest.last_valid_block_height)
    return str(sent.value)


def _transfer(payer: Pubkey, order: Order) -> Instruction:
    source, destination = (
        spl.get_associated_token_address(owner, order.mint, order.program) for owner in (payer, order.recipient)
    )
    return spl.transfer_checked(
        TransferCheckedParams(
            program_id=order.program,
            source=source,
            mint=order.mint,
            dest=destination,
            owner=payer,
            amount=order.amount,
            decimals=order.decimals,
        )
    )


def _order(wallet: str, amount: Decimal, mint: str, references: Sequence[str], memo: str | None) -> Order:
    token = next((one for one in DEVNET_TOKENS if one.mint == mint), None)
    if token is None:
        raise OperatorError(f"The localnet has no token with the mint {mint!r}; give one of devnet's.")
    try:
        base_units = to_base_units(amount, token.decimals)
    except AmountError as error:
        raise OperatorError(f"The amount {error}; correct it.") from None
    if memo is not None and len(memo.encode()) > _MEMO_BYTES_MAX:
        raise OperatorError(f"A memo has at most {_MEMO_BYTES_MAX} bytes; give a shorter one.")
    return Order(
        recipient=_key(wallet),
        mint=Pubkey.from_string(mint),
        program=Pubkey.from_string(token.program),
        symbol=token.symbol,
        decimals=token.decimals,
        amount=base_units,
        references=[_key(one) for one in references],
        memo=memo,
    )


def _key(text: str) -> Pubkey:
    try:
        return Pubkey.from_string(text)
    except ValueError:
        raise OperatorError(f"{text!r} is no address; give 32 bytes in base58.") from None


def _amount(text: str) -> Decimal:
    try:
        return parse_amount(text)
    except AmountError as error:
        raise OperatorError(f"The amount {error}; correct it.") from None
