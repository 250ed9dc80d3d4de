"""Pages: templates filled with escaped values, and the headers that keep others out of them."""

import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import sent_session
from api.console.formats import FILTERS
from api.console.forms import form_token

_PACKAGE: Final = "api.console"
_MEDIA_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# Everything is loaded from here, in files; nothing in a page runs, and no page stands inside another.
CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
PAGE_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cache-Control": "no-store",
}
"""Headers of every page, beside those of every answer."""
_ASSET_HEADERS: Final = {
    "Cross-Origin-Resource-Policy": "same-origin",
    # Its address changes with its content.
    "Cache-Control": "public, max-age=31536000, immutable",
}
NAVIGATION: Final = (
    ("/console", "Overview"),
    ("/console/payments", "Payments"),
    ("/console/requests", "Requests"),
    ("/console/reconciliation", "Reconciliation"),
    ("/console/jobs", "Marketplace"),
    ("/console/x402", "x402"),
    ("/console/webhooks", "Webhooks"),
    ("/console/keys", "Keys"),
    ("/console/wallets", "Wallets"),
    ("/console/audit", "Audit"),
)

# Pages that stand below no address of an entry, with the entry to which they belong.
_BELONGS_TO: Final = {"/console/payouts": "/console/jobs"}


def entry_of(path: str) -> str | None:
    """The address of the navigation's entry to which the page at `path` belongs; `None` for one that has none."""
    for page, entry in _BELONGS_TO.items():
        if path == page or path.startswith(f"{page}/"):
            return entry
    below = [entry for entry, _ in NAVIGATION if path == entry or path.startswith(f"{entry}/")]
    home = NAVIGATION[0][0]
    return max((entry for entry in below if entry != home or path == home), key=len, default=None)


class Pages:
    """The templates and the files that they name, read once."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader(_PACKAGE, encoding="utf-8"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(FILTERS)
        self._files: dict[str, tuple[bytes, str]] = {}
        addresses = {}
        for file in resources.files(_PACKAGE).joinpath("static").iterdir():
            stem, _, kind = file.name.rpartition(".")
            content = file.read_bytes()
            name = f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}.{kind}"
            self._files[name] = content, _MEDIA_TYPES[kind]
            addresses[file.name] = f"/console/static/{name}"
        self._environment.globals.update(asset=addresses.__getitem__, navigation=NAVIGATION)

    def page(
        self,
        request: Request,
        template: str,
        *,
        caller: Caller | None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        has_navigation: bool = True,
        **values: Any,
    ) -> Response:
        """A page for `caller`, `None` for somebody who is not signed in; the template escapes `values`."""
        session = sent_session(request) if has_navigation else None
        content = self._environment.get_template(template).render(
            caller=caller,
            may_write=caller is not None and (caller.is_admin or "write" in caller.permissions),
            entry=entry_of(request.url.path),
            form_token=form_token(session) if session else "",
            **values,
        )
        sent = {**PAGE_HEADERS, **(headers or {})}
        return Response(content, status, sent, "text/html; charset=utf-8")

    def file(self, name: str) -> Response | None:
        """A file that pages name, or `None` where there is none of this name."""
        if (found := self._files.get(name)) is None:
            return None
        content, media_type = found
        return Response(content, headers=_ASSET_HEADERS, media_type=media_type)
