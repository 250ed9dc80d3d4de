"""A node that alters single answers of the localnet behind it.

A fake, because no real node can be made to lie on purpose. What it does not alter is the localnet's own answer.
"""

import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web
from solders.signature import Signature

from localnet import Localnet
from tests.support.scripted_nodes import serving

Change = Callable[[dict[str, Any], dict[str, Any]], None]
"""Takes a call and its answer, and alters the answer in place."""


class AlteringNode:
    """One node of a cluster, whose answers `change` alters.

    With `keeps_transactions` it says that it has sent what it is given, and sends nothing: `kept` has the calls.
    While it `is_away` it answers nothing.
    """

    def __init__(self, behind: Localnet, change: Change | None = None, *, keeps_transactions: bool = False) -> None:
        self.behind = behind
        self.change = change
        self.keeps_transactions = keeps_transactions
        self.kept: list[dict[str, Any]] = []
        self.is_away = False
        self.rpc_url = ""

    @contextlib.asynccontextmanager
    async def serve(self):
        """Answer JSON-RPC over HTTP on a free port."""
        async with aiohttp.ClientSession() as self._http, serving(self._post) as self.rpc_url:
            yield self

    async def pass_on(self, call: dict[str, Any]) -> Any:
        """What the localnet answers to a call."""
        async with self._http.post(self.behind.rpc_url, json=call) as response:
            return await response.json()

    async def let_go(self) -> None:
        """Send what was kept, each transaction once."""
        for call in {call["params"][0]: call for call in self.kept}.values():
            call["params"][1] = {**call["params"][1], "skipPreflight": True}
            await self.pass_on(call)

    async def _post(self, request: web.Request) -> web.Response:
        if self.is_away:
            return web.Response(status=503)
        call = json.loads(await request.read())
        if self.keeps_transactions and call["method"] == "sendTransaction":
            self.kept.append(call)
            signature = Signature(base64.b64decode(call["params"][0])[1:65])
            return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": str(signature)})
        answer = await self.pass_on(call)
        if self.change is not None:
            self.change(call, answer)
        return web.json_response(answer)


def failing_for_good(call: dict[str, Any], answer: dict[str, Any]) -> None:
    """Say of every transaction that it is finalized with an error."""
    if call["method"] == "getSignatureStatuses":
        error = {"InstructionError": [2, {"Custom": 1}]}
        status = {"confirmations": None, "err": error, "status": {"Err": error}, "confirmationStatus": "finalized"}
        slot = answer["result"]["context"]["slot"] - 1
        answer["result"]["value"] = [{"slot": slot, **status} for _ in call["params"][0]]


def landed(commitment: str) -> Change:
    """Says of every transaction that it has landed well just now, at a commitment."""

    def change(call: dict[str, Any], answer: dict[str, Any]) -> None:
        if call["method"] == "getSignatureStatuses":
            status = {"confirmations": None, "err": None, "status": {"Ok": None}, "confirmationStatus": commitment}
            slot = answer["result"]["context"]["slot"] - 1
            answer["result"]["value"] = [{"slot": slot, **status} for _ in call["params"][0]]

    return change
