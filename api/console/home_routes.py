"""The root of the address: people are led to the console, programs see what is here; and the console's files."""

from typing import Annotated

from fastapi import Header, Request
from pydantic import Field
from starlette.responses import RedirectResponse, Response

from api.access.callers import OptionalCaller, count_request
from api.console.context import Console
from api.console.sign_in_routes import OVERVIEW
from api.http.errors import not_found
from api.http.json import AnswerShape, answer
from api.operations.health_routes import VERSION
from api.routing.route import new_router

router = new_router(tags=["Home"])
files_router = new_router("/console/static", is_documented=False)


class HomeBody(AnswerShape):
    """Where to go from here."""

    service: str
    version: str
    console: str = Field(description="Pages for people")
    docs: str = Field(description="This API's description, to be read")
    openapi: str = Field(description="This API's description, for programs")
    health: str


@router.get("/", response_model=HomeBody)
async def get_home(_: OptionalCaller, accept: Annotated[str, Header()] = "*/*") -> Response:
    """Say what is here. A browser, which prefers HTML, is led to the console."""
    headers = {"Vary": "Accept"}
    if "text/html" in accept.lower():
        return RedirectResponse(OVERVIEW, 303, headers)
    body = HomeBody(
        service="402pay-facilitator",
        version=VERSION,
        console=OVERVIEW,
        docs="/docs",
        openapi="/openapi.json",
        health="/health",
    )
    return answer(body, headers=headers)


@files_router.get("/{name}")
async def get_file(request: Request, context: Console, name: str) -> Response:
    """A stylesheet, script or picture that pages name."""
    await count_request(request, None)
    if (file := context.pages.file(name)) is None:
        raise not_found("The file")
    return file
