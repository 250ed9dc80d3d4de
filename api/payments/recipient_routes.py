"""The wallets that are followed for a user."""

from typing import Annotated

from fastapi import Path
from solders.pubkey import Pubkey
from solders.signature import Signature
from starlette.responses import Response

from api.access.callers import Reader, Writer
from api.http.errors import conflict, errors, forbidden, invalid, not_found, unavailable
from api.http.json import answer
from api.payments.bodies import (
    ListedRecipientBody,
    RecipientBody,
    RecipientList,
    RecipientOrder,
    RecipientRemoved,
    recipient_fields,
)
from api.payments.context import Payments
from api.routing.route import new_router
from chain.addresses import NotAWalletError, parse_address, slot_of_wallet
from chain.rpc import RpcError
from ledger.recipients import (
    find_recipient,
    followed_from,
    recipients_of,
    register_wallet,
    registration_text,
    stop_following,
)

router = new_router(prefix="/recipients", tags=["Recipients"])


@router.post("", response_model=RecipientBody, status_code=201, responses=errors(401, 403, 409))
async def post_recipient(context: Payments, caller: Writer, order: RecipientOrder) -> Response:
    """Follow a wallet from now on. It takes the wallet's own signature, or an admin key."""
    address = parse_address(order.address)
    if address is None:
        raise invalid(f"{order.address!r} is not a Solana address; send the base58 address of a wallet.")
    user_id = order.user_id or caller.user_id
    if user_id != caller.user_id and not caller.is_admin:
        raise forbidden("Wallets of other users are registered by admins; leave userId out or use an admin key.")
    if not caller.is_admin or order.signature is not None:
        _check_signature(address, user_id, order.signature)
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
    )
    if registration is None:
        raise conflict("The wallet belongs to another user; a wallet has one.")
    return answer(RecipientBody(**recipient_fields(registration.recipient)), 201)


def _check_signature(address: str, user_id: str, signature: str | None) -> None:
    text = registration_text(address, user_id)
    if signature is None:
        raise forbidden(f"Registering a wallet takes its ed25519 signature over {text!r}, or an admin key.")
    try:
        is_signed = Signature.from_string(signature).verify(Pubkey.from_string(address), text.encode())
    except ValueError:
        raise invalid("signature must be 64 bytes in base58; correct it.", {"field": "signature"}) from None
    if not is_signed:
        raise forbidden(f"The signature is not the wallet's over {text!r}; sign exactly that text.")


@router.get("", response_model=RecipientList, responses=errors(401, 403))
async def get_recipients(context: Payments, caller: Reader) -> Response:
    """List the caller's wallets; an admin sees everybody's."""
    whose = None if caller.is_admin else caller.user_id
    found = await recipients_of(context.database, whose)
    listed = [
        ListedRecipientBody(**recipient_fields(one.recipient), token_accounts=one.token_accounts) for one in found
    ]
    return answer(RecipientList(recipients=listed, total=len(listed)))


@router.delete("/{address}", response_model=RecipientRemoved, responses=errors(401, 403, 404))
async def delete_recipient(
    context: Payments,
    caller: Writer,
    address: Annotated[str, Path(max_length=64)],
) -> Response:
    """Stop following a wallet; what the ledger holds of it stays."""
    recipient = await find_recipient(context.database, address) if parse_address(address) == address else None
    if recipient is None or not recipient.is_active or not caller.sees(recipient.user_id):
        raise not_found("The wallet")
    await stop_following(context.database, address)
    message = "The wallet is no longer followed; the ledger keeps what it has."
    return answer(RecipientRemoved(message=message, address=address))
