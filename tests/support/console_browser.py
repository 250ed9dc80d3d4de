"""A browser without a screen: it keeps cookies, sends forms, follows nothing by itself, and parses what it gets."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import aiohttp

VOID = {"meta", "link", "input", "img", "br", "rect", "circle", "path"}


class Parsed(HTMLParser):
    """A page's elements, each with its attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.pieces = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.pieces.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.pieces).split())

    def all(self, tag, **wanted):
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and all(attributes.get(key) == value for key, value in wanted.items())
        ]


@dataclass
class Seen:
    """What was answered."""

    status: int
    headers: aiohttp.typedefs.LooseHeaders
    body: str
    set_cookies: list[str]

    @property
    def page(self):
        return Parsed(self.body)

    @property
    def text(self):
        return self.page.text

    @property
    def location(self):
        return self.headers.get("Location")

    @property
    def rows(self):
        """What the rows of its tables are of."""
        return re.findall(r'data-row="([^"]+)"', self.body)


async def rows_of_all_pages(browser, path):
    """The rows of a list, from the page at `path` on to the last one."""
    rows = []
    while path:
        seen = await browser.get(path)
        assert seen.status == 200, seen.text
        rows += seen.rows
        (older,) = seen.page.all("a", rel="next") or [{"href": None}]
        path = older["href"]
    return rows


@dataclass
class Browser:
    """Somebody's browser, at the console of an API."""

    url: str
    http: aiohttp.ClientSession
    cookies: dict[str, str] = field(default_factory=dict)

    async def send(self, method, path, *, form=None, headers=None) -> Seen:
        sent = {"Accept": "text/html,application/xhtml+xml", **(headers or {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        data = None
        if form is not None:
            data = form if isinstance(form, str | bytes) else urlencode(form)
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        # Neither kept nor sent by the client's own jar, which keeps none of an address.
        async with self.http.request(
            method, self.url + path, data=data, headers=sent, allow_redirects=False
        ) as response:
            set_cookies = response.headers.getall("Set-Cookie", [])
            for line in set_cookies:
                for name, morsel in SimpleCookie(line).items():
                    if morsel["max-age"] == "0":
                        self.cookies.pop(name, None)
                    else:
                        self.cookies[name] = morsel.value
            return Seen(response.status, response.headers, await response.text(errors="replace"), set_cookies)

    async def get(self, path, **options) -> Seen:
        return await self.send("GET", path, **options)

    async def post(self, path, form, **options) -> Seen:
        return await self.send("POST", path, form=form, **options)

    async def token(self, path="/console") -> str:
        """The token of the first form of a page that has one."""
        return re.search(r'name="form_token" value="([0-9a-f]{64})"', (await self.get(path)).body)[1]

    async def sign_in(self, key, to=None) -> Seen:
        token = await self.token("/console/sign-in")
        return await self.post("/console/sign-in", {"form_token": token, "key": key, **({"to": to} if to else {})})

    @property
    def session(self):
        return next((value for name, value in self.cookies.items() if name.endswith("pay402_session")), None)


async def signed_in(client, key) -> Browser:
    """A browser in which somebody has signed in with `key` at the API of `client`."""
    browser = Browser(client.url, client.http)
    seen = await browser.sign_in(key)
    assert (seen.status, seen.location) == (303, "/console"), seen.text
    return browser
