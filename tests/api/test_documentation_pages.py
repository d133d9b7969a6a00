"""The pages work offline and load nothing but what the gateway itself serves."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urljoin

import pytest
from tests.support.gateways import Client
from tests.support.openapi import DOCUMENT

from chaching_api.documentation import assets
from chaching_api.documentation.assets import ASSETS

HTML_PAGES: Final = ("/docs", "/docs/errors", "/docs/events")
PAGES: Final = (*HTML_PAGES, "/openapi.json", "/asyncapi.json")
ADDRESSES: Final = (*PAGES, *(f"/docs/assets/{name}" for name in ASSETS))
OTHER_HOST: Final = re.compile(r"(?:https?:)?//(?!www\.w3\.org/)\w")
VENDORED: Final = files(assets) / assets.SWAGGER_UI
LOADING: Final = ("src", "href", "action", "data", "srcset", "poster")


class Links(HTMLParser):
    """Collects what a page leads to or loads, its anchors, and whatever runs or styles inline."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.inline: list[str] = []
        self._in: str = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in = tag
        for name, value in attrs:
            if name in LOADING:
                self.links.append(value or "")
            elif name == "id":
                self.anchors.append(value or "")
            elif name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in in {"script", "style"} and data.strip():
            self.inline.append(data)


async def page(client: Client, path: str) -> Links:
    answer = await client.having(None).send("GET", path)
    assert answer.status == 200
    return Links(answer.body.decode())


@pytest.mark.parametrize("path", ADDRESSES)
async def test_everything_is_served_without_a_key(client: Client, path: str) -> None:
    answer = await client.having(None).send("GET", path)
    assert (answer.status, bool(answer.body)) == (200, True)
    assert re.fullmatch(r"req_\w{14}", answer.headers["Request-Id"])


@pytest.mark.parametrize("path", HTML_PAGES)
async def test_a_slash_behind_a_page_leads_to_the_page(client: Client, path: str) -> None:
    async with client.session.get(f"{client.url}{path}/", allow_redirects=False) as answer:
        assert (answer.status, await answer.read()) == (308, b"")
        assert urljoin(f"{path}/", answer.headers["Location"]) == path
    async with client.session.get(f"{client.url}{path}/") as answer:
        assert (answer.status, answer.url.path) == (200, path)
    assert (await client.send("POST", f"{path}/")).status == 404
    for other in ("/openapi.json/", "/v1/customers/", f"{path}//"):
        assert (await client.send("GET", other)).status == 404


@pytest.mark.parametrize("path", ADDRESSES)
async def test_nothing_may_be_loaded_from_elsewhere(client: Client, path: str) -> None:
    headers = (await client.send("GET", path)).headers
    policy = dict(
        part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert {policy[f"{kind}-src"] for kind in ("script", "style", "connect")} == {"'self'"}
    assert policy["img-src"] == "'self' data:"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/errors", "text/html; charset=utf-8"),
        ("/docs/events", "text/html; charset=utf-8"),
        ("/openapi.json", "application/json"),
        ("/asyncapi.json", "application/json"),
        ("/docs/assets/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("/docs/assets/swagger-ui.css", "text/css; charset=utf-8"),
        ("/docs/assets/icon.svg", "image/svg+xml"),
        ("/docs/assets/subscriber.txt", "text/plain; charset=utf-8"),
    ],
)
async def test_each_file_says_what_it_is(client: Client, path: str, content_type: str) -> None:
    assert (await client.send("GET", path)).headers["Content-Type"] == content_type


@pytest.mark.parametrize("path", ADDRESSES)
async def test_who_has_it_already_is_not_sent_it_again(client: Client, path: str) -> None:
    first = await client.send("GET", path)
    assert first.headers["Cache-Control"] == "no-cache"
    known = {"If-None-Match": first.headers["ETag"]}
    again = await client.send("GET", path, headers=known)
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    other = await client.send("GET", path, headers={"If-None-Match": '"other"'})
    assert (other.status, other.body) == (200, first.body)


@pytest.mark.parametrize("path", HTML_PAGES)
async def test_all_that_a_page_leads_to_is_there(client: Client, path: str) -> None:
    found = await page(client, path)
    assert found.links
    for link in found.links:
        address, _, anchor = link.partition("#")
        assert not address or address.startswith("/"), link
        assert not OTHER_HOST.match(address), link
        if address:
            assert (await client.send("GET", address)).status == 200, link
        if anchor:
            assert anchor in found.anchors, link


@pytest.mark.parametrize("path", HTML_PAGES)
async def test_a_page_has_no_script_and_no_style_of_its_own(client: Client, path: str) -> None:
    assert (await page(client, path)).inline == []


def test_an_inline_script_is_found_out() -> None:
    assert Links("<script>alert(1)</script>").inline
    assert Links('<p style="color: red">').inline


@pytest.mark.parametrize("path", ["/docs/errors", "/docs/events"])
async def test_a_page_of_text_works_without_scripts(client: Client, path: str) -> None:
    body = (await client.send("GET", path)).body
    assert b"<script" not in body


@pytest.mark.parametrize("path", HTML_PAGES)
async def test_every_page_leads_to_the_others(client: Client, path: str) -> None:
    links = (await page(client, path)).links
    assert set(HTML_PAGES) - {path} <= set(links)


@pytest.mark.parametrize("name", ["reference.html", "reference.js", "pages.css", "events.html"])
def test_our_own_files_name_no_other_host(name: str) -> None:
    assert not OTHER_HOST.search((files(assets) / name).read_text())


def test_the_style_of_swagger_ui_loads_nothing() -> None:
    style = (VENDORED / "swagger-ui.css").read_text()
    loaded = re.findall(r"url\(\s*[\"']?(.{5})", style)
    assert loaded
    assert set(loaded) == {"data:"}
    assert "@import" not in style


def test_swagger_ui_asks_no_validator() -> None:
    assert "validatorUrl: null" in (files(assets) / "reference.js").read_text()


def test_the_vendored_files_are_the_recorded_ones() -> None:
    record = (VENDORED / "VENDORED.txt").read_text()
    digests = {
        name: digest for digest, name in re.findall(r"^(\w{64})  (\S+)$", record, re.MULTILINE)
    }
    there = {file.name for file in VENDORED.iterdir()} - {"VENDORED.txt"}
    assert digests.keys() == there
    assert {"LICENSE", "NOTICE", "swagger-ui-bundle.js", "swagger-ui.css"} <= there
    for name, digest in digests.items():
        assert hashlib.sha256((VENDORED / name).read_bytes()).hexdigest() == digest, name
    assert re.match(r"swagger-ui-dist 5\.\d+\.\d+,", record)


async def test_a_file_that_is_none_of_the_pages_is_not_served(client: Client) -> None:
    for name in ("nope.js", "..%2F__init__.py", "VENDORED.txt"):
        answer = await client.send("GET", f"/docs/assets/{name}")
        assert (answer.status, answer.error["reason"]) == (404, "url_unknown")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST"])
async def test_pages_know_no_other_verb(client: Client, path: str, method: str) -> None:
    assert (await client.send(method, path)).status == 404


async def test_the_document_is_served_as_it_was_made(client: Client) -> None:
    answer = await client.send("GET", "/openapi.json")
    served: dict[str, Any] = answer.json
    assert served == DOCUMENT
    assert served["servers"][0]["url"] == "/"
