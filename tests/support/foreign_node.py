"""A node that is not ours: a proxy before a localnet which lacks methods, has its own words, or finalizes at once.

A fake, because the localnet answers as a validator does. Development nodes and providers conform to the same
protocol and differ where it leaves them room: which methods and subscriptions they serve, the codes of their
errors, when a slot counts as final, and whether they take batches.
"""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from tests.support.scripted_nodes import url_of

NOT_FOUND = {"code": -32601, "message": "Method not found"}
IN_ITS_OWN_WORDS = {"code": -32042, "message": "this plan does not include it"}


@dataclass
class ForeignNode:
    """What it does in its own way.

    Attributes:
        refused: Methods, over HTTP or PubSub, that it answers with an error of its own.
        notifies_slots: False for one that accepts slot subscriptions and never sends a slot.
        instant: True for one that calls its newest slot final.
        filters_by_slot: True for one that leaves out what landed before `minContextSlot`.
        seconds_ahead: How far its clock, and so every block's time, is ahead of ours.
        asked: Every method it was asked for.
    """

    refused: dict[str, dict[str, Any]] = field(default_factory=dict)
    notifies_slots: bool = True
    instant: bool = False
    filters_by_slot: bool = False
    seconds_ahead: int = 0
    asked: list[str] = field(default_factory=list)
    url: str = ""
    ws_url: str = ""

    @contextlib.asynccontextmanager
    async def before(self, net):
        """Serve HTTP and PubSub, each on a port of its own, with `net` behind."""
        application = web.Application()
        application.router.add_post("/", self._post)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._net = net
        async with (
            aiohttp.ClientSession() as self._session,
            serve(self._socket, "127.0.0.1", 0, close_timeout=0.1) as server,
        ):
            self.ws_url = url_of(server)
            yield self
            await runner.cleanup()

    async def _post(self, request):
        question = await request.json()
        if isinstance(question, list):
            return web.Response(status=400, text="no batches here")
        if (answer := self._refusal(question)) is None:
            async with self._session.post(self._net.rpc_url, json=self._reworded(question)) as response:
                answer = await response.json()
        if self.filters_by_slot and question["method"] == "getSignaturesForAddress" and "result" in answer:
            first = question["params"][1].get("minContextSlot", 0)
            answer["result"] = [line for line in answer["result"] if line["slot"] >= first]
        return web.json_response(self._hurried(answer))

    async def _socket(self, ours):
        async with connect(self._net.ws_url, close_timeout=0.1) as theirs:

            async def down():
                with contextlib.suppress(ConnectionClosed):
                    async for message in theirs:
                        if self.notifies_slots or json.loads(message).get("method") != "slotNotification":
                            await ours.send(message)
                await ours.close()

            downwards = asyncio.create_task(down())
            with contextlib.suppress(ConnectionClosed):
                async for message in ours:
                    if (answer := self._refusal(json.loads(message))) is not None:
                        await ours.send(json.dumps(answer))
                    else:
                        await theirs.send(message)
            downwards.cancel()

    def _refusal(self, question):
        self.asked.append(question["method"])
        error = self.refused.get(question["method"])
        return None if error is None else {"jsonrpc": "2.0", "id": question["id"], "error": error}

    def _reworded(self, question):
        """What an instant node is asked about the newest final slot is a question about the newest of all."""
        configs = [one for one in question["params"] if isinstance(one, dict)]
        for config in configs:
            if self.instant and config.get("commitment") == "finalized":
                config["commitment"] = "processed"
        return question

    def _hurried(self, answer):
        result = answer.get("result")
        if isinstance(result, dict) and "blockTime" in result:
            result["blockTime"] += self.seconds_ahead
        lines = result.get("value") if isinstance(result, dict) else result
        for line in lines if self.instant and isinstance(lines, list) else ():
            if isinstance(line, dict) and "confirmationStatus" in line:
                line["confirmationStatus"] = "finalized"
        return answer
