"""A node that invents payments: it answers for transactions that its cluster does not have, as if they were final.

A fake, because no real node can be made to lie on purpose. It stands before a localnet and passes on everything else,
faults included. An invented payment is a real one under another signature, so that its content is believable.
"""

import base64
import contextlib
import json
from copy import deepcopy
from typing import Any

import aiohttp
from aiohttp import web
from solders.keypair import Keypair
from solders.signature import Signature

from localnet import Localnet


class LyingNode:
    """One node of a cluster, with inventions. It has the attributes of a Localnet that a scenario uses."""

    def __init__(self, behind: Localnet) -> None:
        self.behind = behind
        self.chain = behind.chain
        self.ws_url = behind.ws_url
        self.rpc_url = ""
        # How often the node has answered with an invention, so that a test can know that it was put to the test.
        self.reported = 0
        self.invented: set[str] = set()
        self._models: dict[str, str] = {}
        self._passed_off_as: str | None = None

    def set_faults(self, changes: dict[str, Any] | None) -> None:
        """As of the node behind."""
        self.behind.set_faults(changes)

    def confess(self) -> None:
        """Know nothing any more of what it has invented."""
        self._models.clear()
        self._passed_off_as = None

    def pass_off_as(self, model: str) -> None:
        """Tell of every other transaction, in its own slot, the content of the one with the signature `model`."""
        self._passed_off_as = model

    def invent(self, model: str) -> str:
        """Claim that the payment with the signature `model` was made once more; return the invented signature."""
        invented = str(Keypair().sign_message(model.encode()))
        self._models[invented] = model
        self.invented.add(invented)
        return invented

    @contextlib.asynccontextmanager
    async def serve(self):
        """Answer JSON-RPC over HTTP on a free port."""
        application = web.Application()
        application.router.add_post("/", self._post)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.rpc_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession() as self._http:
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        call = json.loads(await request.read())
        asked, invented, slot = deepcopy(call), None, None
        if call["method"] == "getTransaction" and call["params"][0] in self._models:
            invented = call["params"][0]
            asked["params"][0] = self._models[invented]
        elif call["method"] == "getTransaction" and self._passed_off_as not in {None, call["params"][0]}:
            async with self._http.post(self.behind.rpc_url, json=call) as response:
                if (found := (await response.json())["result"]) is not None:
                    invented, slot = call["params"][0], found["slot"]
                    asked["params"][0] = self._passed_off_as
        try:
            async with self._http.post(self.behind.rpc_url, json=asked) as response:
                raw = await response.read()
        except aiohttp.ClientError:
            # A fault of the node behind: nothing comes back.
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        headers = {name: value for name, value in response.headers.items() if name == "Retry-After"}
        # Another fault may have left no JSON, or an error; that is passed on as it is.
        with contextlib.suppress(ValueError, TypeError, KeyError):
            answer = json.loads(raw)
            if invented is not None:
                answer["result"]["transaction"] = _signed_as(answer["result"]["transaction"], invented)
                answer["result"]["slot"] = slot or answer["result"]["slot"]
                self.reported += 1
            if call["method"] == "getSignatureStatuses":
                self._state(call["params"][0], answer["result"])
            raw = json.dumps(answer).encode()
        return web.Response(body=raw, status=response.status, headers=headers, content_type="application/json")

    def _state(self, signatures: list[str], result: dict[str, Any]) -> None:
        for place, signature in enumerate(signatures):
            if signature in self._models and result["value"][place] is None:
                final = {"slot": result["context"]["slot"] - 1, "confirmations": None, "err": None}
                result["value"][place] = {**final, "status": {"Ok": None}, "confirmationStatus": "finalized"}
                self.reported += 1


def _signed_as(transaction: Any, signature: str) -> Any:
    """A transaction of an answer, in whichever encoding, with another signature."""
    if isinstance(transaction, dict):
        return {**transaction, "signatures": [signature, *transaction["signatures"][1:]]}
    text, encoding = transaction
    assert encoding == "base64", encoding
    wire = base64.b64decode(text)  # [count][signatures of 64 bytes][message]

    return [base64.b64encode(wire[:1] + bytes(Signature.from_string(signature)) + wire[65:]).decode(), encoding]
