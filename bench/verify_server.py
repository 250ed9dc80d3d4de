"""The API with an additional route that does nothing: `python -m bench.verify_server`, set by the environment."""

import asyncio
import json
import os

from fastapi import Request
from starlette.responses import Response

from api.http.json import answer
from api.main import serve_until
from api.routing.direct_route import DirectRoute
from api.routing.route import new_router
from api.settings import ApiSettings
from api.verify.bodies import ProofBody
from runtime.logging import configure_logging
from runtime.process import freeze_startup_objects, run_until_signal
from runtime.settings import load

router = new_router(kind=DirectRoute)


@router.post("/bench/noop", include_in_schema=False)
async def post_noop(_: Request, body: ProofBody) -> Response:
    """Read the same body and answer."""
    return answer({"ok": True, "nonce": body.nonce})


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(ApiSettings)
    configure_logging(settings)

    def ready(url: str) -> None:
        freeze_startup_objects()
        print(json.dumps({"api": url}), flush=True)

    async def serve(stop: asyncio.Event) -> None:
        await serve_until(
            stop,
            settings,
            os.environ["DATABASE_URL"],
            os.environ["REDIS_URL"],
            settings.rpc_urls,
            ready=ready,
            more=[router],
        )

    run_until_signal(serve)


if __name__ == "__main__":
    main()
