"""The wallets that are followed for a user."""

import time
from typing import Annotated, Final

from fastapi import Path
from solders.pubkey import Pubkey
from solders.signature import Signature
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import Reader, Writer
from api.access.environments import check_may_change
from api.http.errors import ApiError, conflict, errors, forbidden, invalid, not_found, unavailable
from api.http.fields import CLOCK_AHEAD_MS_MAX, time_sent
from api.http.json import answer
from api.payments.bodies import (
    ListedRecipientBody,
    RecipientList,
    RecipientOrder,
    RecipientRemoved,
    RegisteredRecipientBody,
    recipient_fields,
)
from api.payments.context import Payments, PaymentsContext
from api.routing.route import new_router
from chain.addresses import NotAWalletError, parse_address, slot_of_wallet
from chain.node import ACCOUNTS_PER_CALL
from chain.programs import TOKEN_PROGRAMS
from chain.rpc import RpcError
from chain.sending import associated_account
from ledger.recipients import (
    FollowedRecipient,
    Recipient,
    find_recipient,
    followed_from,
    has_open_jobs,
    recipients_of,
    register_wallet,
    registration_text,
    stop_following,
)
from ledger.sql import planned_for_its_values

router = new_router(prefix="/recipients", tags=["Recipients"])

_AGE_MS_MAX: Final = 10 * 60 * 1000


@router.post("", response_model=RegisteredRecipientBody, status_code=201, responses=errors(401, 403, 409))
async def post_recipient(context: Payments, caller: Writer, order: RecipientOrder) -> Response:
    """Follow a wallet from now on. It takes the wallet's own signature, or an admin key."""
    return answer(await register_recipient(context, caller, order), 201)


async def register_recipient(
    context: PaymentsContext, caller: Caller, order: RecipientOrder
) -> RegisteredRecipientBody:
    """Follow a wallet for the caller, or for whom an admin says.

    Raises:
        ApiError: 400 for what is no wallet, 403 without its good signature, 409 where it is another's, 503 where no
            node can look at it.
    """
    address = parse_address(order.address)
    if address is None:
        raise invalid(f"{order.address!r} is not a Solana address; send the base58 address of a wallet.")
    user_id = order.user_id or caller.user_id
    if user_id != caller.user_id and not caller.is_admin:
        raise forbidden("Wallets of other users are registered by admins; leave userId out or use an admin key.")
    if not caller.is_admin or order.signature is not None:
        _check_signature(address, user_id, order.signature, order.signed_at)
    before = await find_recipient(context.database, address)
    if before is not None:
        check_may_change(caller, before.environment, "The wallet")
    try:
        slot = await slot_of_wallet(context.node, address)
    except NotAWalletError as error:
        raise invalid(str(error), {"field": "address"}) from None
    except RpcError as error:
        raise unavailable("Solana node that checks the wallet") from error
    registration = await register_wallet(
        context.database,
        address=address,
        user_id=user_id,
        label=order.label,
        followed_from_slot=followed_from(slot),
        environment=caller.environment,
        signed_at=None if order.signed_at is None else time_sent(order.signed_at, "signedAt"),
        by_admin=caller.is_admin,
    )
    if registration is None:
        raise await _not_free(context, before, address, user_id)
    missing = await missing_token_accounts(context, address)
    return RegisteredRecipientBody(**recipient_fields(registration.recipient), missing_token_accounts=missing)


async def missing_token_accounts(context: PaymentsContext, address: str) -> list[str] | None:
    """The tokens by symbol for which a wallet has no associated account; `None` where no node answers."""
    tokens = context.tokens.listed()
    owned = {
        (token, program): associated_account(address, token.mint, program)
        for token in tokens[: ACCOUNTS_PER_CALL // len(TOKEN_PROGRAMS)]
        for program in TOKEN_PROGRAMS
    }
    addresses = list(owned.values())
    try:
        _, accounts = await context.node.accounts(addresses, commitment="confirmed")
    except RpcError:
        return None
    there = {one for one, account in zip(addresses, accounts, strict=True) if account is not None}
    return sorted(
        {token.symbol for token, _ in owned}
        - {token.symbol for (token, _), account in owned.items() if account in there}
    )


async def _not_free(context: PaymentsContext, before: Recipient | None, address: str, user_id: str) -> ApiError:
    if before is not None and not before.is_active:
        if before.user_id != user_id and await has_open_jobs(context.database, address):
            return conflict("Jobs are open that are paid to the wallet, so it stays its user's until they have ended.")
        return conflict(
            "The wallet was registered and removed before; let it sign the text that ends in ` at {signedAt}`, "
            "and send signedAt."
        )
    return conflict("The wallet belongs to another user; a wallet has one.")


def _check_signature(address: str, user_id: str, signature: str | None, signed_at_ms: int | None) -> None:
    text = registration_text(address, user_id, signed_at_ms)
    if signature is None:
        raise forbidden(f"Registering a wallet takes its ed25519 signature over {text!r}, or an admin key.")
    try:
        is_signed = Signature.from_string(signature).verify(Pubkey.from_string(address), text.encode())
    except ValueError:
        raise invalid("signature must be 64 bytes in base58; correct it.", {"field": "signature"}) from None
    if not is_signed:
        raise forbidden(f"The signature is not the wallet's over {text!r}; sign exactly that text.")
    if signed_at_ms is not None:
        age_ms = time.time_ns() // 1_000_000 - signed_at_ms
        if not -CLOCK_AHEAD_MS_MAX <= age_ms <= _AGE_MS_MAX:
            raise forbidden("signedAt is more than 10 minutes ago, or in the future; let the wallet sign again.")


@router.get("", response_model=RecipientList, responses=errors(401, 403))
async def get_recipients(context: Payments, caller: Reader) -> Response:
    """List the caller's wallets; an admin sees everybody's."""
    whose = None if caller.is_admin else caller.user_id
    found = await recipients_of(context.database, whose)
    return answer(RecipientList(recipients=[_listed(one) for one in found], total=len(found)))


async def recipients_page(
    context: PaymentsContext, caller: Caller, *, after: str | None, limit: int
) -> list[ListedRecipientBody]:
    """The caller's wallets, or everybody's for an admin, in the order of their registration, after wallet `after`."""
    whose = None if caller.is_admin else caller.user_id
    async with planned_for_its_values(context.database) as connection:
        found = await recipients_of(connection, whose, after=after, limit=limit)
    return [_listed(one) for one in found]


def _listed(found: FollowedRecipient) -> ListedRecipientBody:
    return ListedRecipientBody(**recipient_fields(found.recipient), token_accounts=found.token_accounts)


@router.delete("/{address}", response_model=RecipientRemoved, responses=errors(401, 403, 404))
async def delete_recipient(
    context: Payments,
    caller: Writer,
    address: Annotated[str, Path(max_length=64)],
) -> Response:
    """Stop following a wallet; what the ledger holds of it stays."""
    return answer(await remove_recipient(context, caller, address))


async def remove_recipient(context: PaymentsContext, caller: Caller, address: str) -> RecipientRemoved:
    """Stop following a wallet of the caller's. Raises ApiError 403 for a live one by a test key, 404 for no wallet."""
    recipient = await recipient_seen_by(context, caller, address)
    check_may_change(caller, recipient.environment, "The wallet")
    await stop_following(context.database, address)
    message = "The wallet is no longer followed; the ledger keeps what it has."
    return RecipientRemoved(message=message, address=address)


async def recipient_seen_by(context: PaymentsContext, caller: Caller, address: str) -> Recipient:
    """A followed wallet that the caller may see. Raises ApiError 404 where there is none."""
    recipient = await find_recipient(context.database, address) if parse_address(address) == address else None
    if recipient is None or not recipient.is_active or not caller.sees(recipient.user_id):
        raise not_found("The wallet")
    return recipient
