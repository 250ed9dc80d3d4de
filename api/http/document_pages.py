"""The description as pages for people: /docs and /redoc, drawn by scripts of ours that need no other host."""

import base64
import hashlib
import re
from typing import Final

from fastapi import APIRouter
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import HTMLResponse

_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_FILES: Final = "/static-offline-docs"
_DOCUMENT: Final = "/openapi.json"


def _page(page: HTMLResponse) -> HTMLResponse:
    """The page with the policy that lets it run its own scripts alone, and ask nobody but this API.

    Its libraries write styles into elements, and one of them works in a thread that it makes itself. The picture that
    the other one loads from its maker's host is not loaded.
    """
    scripts = [base64.b64encode(hashlib.sha256(one).digest()).decode() for one in _scripts(page)]
    hashes = " ".join(f"'sha256-{one}'" for one in scripts)
    page.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return page


def _scripts(page: HTMLResponse) -> list[bytes]:
    return [one.encode() for one in _SCRIPT.findall(bytes(page.body).decode())]


def document_pages(title: str) -> APIRouter:
    """The routes of both pages of an API that is called `title`; their files are mounted by `fastapi_offline`."""
    router = APIRouter(include_in_schema=False)
    favicon = f"{_FILES}/favicon.png"
    swagger = _page(
        get_swagger_ui_html(
            openapi_url=_DOCUMENT,
            title=title,
            swagger_js_url=f"{_FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{_FILES}/swagger-ui.css",
            swagger_favicon_url=favicon,
            # Lists of sixty routes are read by their titles; the models are shown where they are used.
            swagger_ui_parameters={"defaultModelsExpandDepth": -1, "docExpansion": "list"},
        )
    )
    redoc = _page(
        get_redoc_html(
            openapi_url=_DOCUMENT,
            title=title,
            redoc_js_url=f"{_FILES}/redoc.standalone.js",
            redoc_favicon_url=favicon,
            with_google_fonts=False,
        )
    )

    @router.get("/docs")
    async def get_docs() -> HTMLResponse:
        return swagger

    @router.get("/redoc")
    async def get_redoc() -> HTMLResponse:
        return redoc

    return router
