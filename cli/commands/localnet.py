"""`pay402 localnet`: a Solana chain of our own."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.help_style import PLAIN_HELP
from cli.printing import AsJson, print_json
from cli.registration import wallet_address
from cli.running import settings_for
from cli.system.fee_payer import local_fee_payer
from cli.system.localnet_address import solana_endpoints
from cli.system.settlement_wallet import local_settlement
from ledger.amounts import amount_text
from localnet import Localnet
from runtime.errors import OperatorError
from runtime.process import run_until_signal
from runtime.settings import Settings, SolanaSettings

# PubSub needs the port after it.
LAST_PORT: Final = 65534


app = typer.Typer(
    help="A local Solana chain with the real token programs: run it, or pay on it.",
    invoke_without_command=True,
    **PLAIN_HELP,
)


@app.callback()
def command(
    ctx: typer.Context,
    port: Annotated[
        int, typer.Option(help="JSON-RPC here, PubSub here and on the next port; 0 for any", min=0, max=LAST_PORT)
    ] = 8899,
    any_if_taken: Annotated[bool, typer.Option("--any-if-taken", help="Take any port where that one is taken")] = False,
    slot_seconds: Annotated[float, typer.Option(help="Seconds per slot", min=0.01)] = 0.4,
    finalize_slots: Annotated[int, typer.Option(help="Slots until a transaction is final", min=1)] = 32,
    seed: Annotated[int, typer.Option(help="Seed of forks and faults")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when ready")] = False,
    settlement_key: Annotated[Path | None, typer.Option(hidden=True)] = None,  # these two are for `pay402 up`
    fee_payer_key: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run a local Solana chain with the real token programs until SIGTERM, or pay on the one that runs.

    The devnet mints exist from the start. `pay402 localnet pay` pays a wallet; over JSON-RPC localnet_fundToken gives
    tokens, localnet_setFaults breaks things, localnet_fork abandons slots.

    Example: pay402 localnet --port 8899 --slot-seconds 0.1
    """
    if ctx.invoked_subcommand is not None:
        return

    async def main(stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            net = await listen(stack)
            if as_json:
                ready: dict[str, Any] = {"rpc": net.rpc_url, "ws": net.ws_url, "genesis": str(net.chain.blocks[0].hash)}
                if fee_payer_key is not None:
                    await local_fee_payer(fee_payer_key, net.rpc_url)
                if settlement_key is not None:
                    ready["settlement"] = await local_settlement(settlement_key, net.rpc_url)
                print_json(ready)
            else:
                typer.echo(f"localnet: JSON-RPC at {net.rpc_url}, PubSub at {net.ws_url}; Ctrl-C ends it")
            await stop.wait()

    async def listen(stack: AsyncExitStack) -> Localnet:
        start = partial(Localnet.start, slot_seconds=slot_seconds, finalize_slots=finalize_slots, seed=seed)
        try:
            return await stack.enter_async_context(start(port=port))
        except OSError as error:
            if any_if_taken:
                return await stack.enter_async_context(start(port=0))
            raise OperatorError(
                f"Port {port} or {port + 1} is taken ({error.strerror}); choose another with --port, or 0."
            ) from error

    settings_for(Settings, "localnet", level="warning")
    run_until_signal(main)


@app.command()
def pay(
    to: Annotated[str, typer.Argument(help="A wallet, or a Solana Pay link as payment requests have it")],
    amount: Annotated[str, typer.Option(help="How much, in units of the token; a link says it itself")] = "0.01",
    symbol: Annotated[str, typer.Option("--token", help="USDC, USDT, …; a link says it itself")] = "USDC",
    memo: Annotated[str | None, typer.Option(help="A note beside it, as the nonce of a payment request")] = None,
    as_json: AsJson = False,
) -> None:
    """Pay a wallet, or a Solana Pay link, from a new wallet.

    It is given the money by the localnet of `pay402 up`, or that of SOLANA_RPC_URL.

    Example: pay402 localnet pay 7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q --amount 2.5
    """
    # Late, for running a localnet needs no client of one.
    from cli.localnet_payment import order_of_link, order_to_wallet, pay

    settings = settings_for(SolanaSettings, level="warning")
    is_link = to.startswith("solana:")
    order = order_of_link(to) if is_link else order_to_wallet(wallet_address(to), amount, symbol, memo)
    rpc_urls, _ = solana_endpoints(settings)
    signature = asyncio.run(pay(rpc_urls[0], order))
    if as_json:
        print_json({"signature": signature, "recipient": str(order.recipient), "amount_base_units": str(order.amount)})
    else:
        typer.echo(signature)
        paid = f"{amount_text(order.amount, order.decimals)} {order.symbol}"
        typer.echo(f"paid {paid} to {order.recipient}; see `pay402 payments show {signature[:12]}`.", err=True)
