"""Codes to be scanned by a phone's wallet, drawn on the server."""

import io

import segno
from starlette.responses import Response

from api.console.pages import PAGE_HEADERS


def code_to_scan(text: str) -> Response:
    """The code of a Solana Pay link, as an SVG."""
    drawing = io.BytesIO()
    # White around and behind it, for scanners, in dark pages too.
    code = segno.make(text, error="m", micro=False)
    code.save(drawing, kind="svg", border=4, dark="#000", light="#fff", omitsize=True, xmldecl=False, svgns=True)
    return Response(drawing.getvalue(), headers=PAGE_HEADERS, media_type="image/svg+xml")
