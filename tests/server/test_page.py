"""The page's files, what browsers are told of every answer, and requests of other sites' pages."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from bicross.server.page import PATHS
from bicross.server.shield import POLICY

from .search_fixtures import filled, serving

TOKEN = "t0ken-that-nobody-guesses"


@pytest.fixture(scope="module")
def client():
    with serving(filled()) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/static/page.css", "text/css"),
        ("/static/page.js", "text/javascript"),
        ("/static/state.js", "text/javascript"),
        ("/static/icon.svg", "image/svg+xml"),
    ],
)
def test_the_page_is_served_under_a_strict_policy(client, path: str, kind: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY


def test_refusals_carry_the_policy_too(client) -> None:
    for answer in (client.get("/nowhere"), client.get("/api/info", headers={"origin": "http://evil.example"})):
        assert answer.status_code in (403, 404)
        assert answer.headers["content-security-policy"] == POLICY


def test_the_page_loads_nothing_from_elsewhere_and_makes_no_html_of_text() -> None:
    folder = resources.files("bicross.server") / "static"
    html, css = ((folder / name).read_text("utf-8") for name in ("index.html", "page.css"))
    scripts = {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".js")}
    assert {f"/static/{name}" for name in scripts} < set(PATHS)
    linked = re.findall(r'(?:src|href)="([^"#]*)"', html)
    assert linked
    assert all(link in {*PATHS, "/openapi.json", ""} for link in linked)
    assert not re.search(r"\son\w+=|style=|<script>|<style", html)
    assert "url(" not in css
    assert "@import" not in css
    for script in scripts.values():
        imported = re.findall(r'^import (?:.* from )?"([^"]*)";$', script, re.MULTILINE)
        assert {name.removeprefix("./") for name in imported} <= set(scripts)
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", script)
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", script)


def test_every_script_is_used() -> None:
    folder = resources.files("bicross.server") / "static"
    scripts = {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".js")}
    used = {"page.js"} | {name for script in scripts.values() for name in re.findall(r'from "\./([^"]*)";', script)}
    assert set(scripts) == used


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://localhost.evil.example"},
        {"origin": "http://localhost:9999"},
        {"origin": "null"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"},
    ],
)
@pytest.mark.parametrize("path", ["/api/search", "/api/index?name=a.txt", "/v1/embeddings"])
def test_other_sites_pages_are_refused(client, headers, path: str) -> None:
    answer = client.post(path, json={"query": "bird", "input": "a"}, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "cross_origin"
    assert client.get("/api/info", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://localhost"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
    ],
)
def test_the_page_itself_and_programs_are_served(client, headers) -> None:
    assert client.post("/api/search", json={"query": "bird"}, headers=headers).status_code == 200


def test_a_link_on_another_site_may_be_followed_and_a_form_may_not(client) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/?q=bird", headers=headers).status_code == 200
    assert client.post("/api/search", json={"query": "bird"}, headers=headers).status_code == 403


def test_the_page_and_the_description_need_no_token_and_the_api_does() -> None:
    with serving(filled(), token=TOKEN) as client:
        assert all(client.get(path).status_code == 200 for path in (*PATHS, "/openapi.json"))
        for path in ("/api/info", "/api/index"):
            assert client.get(path).status_code == 401
        assert client.post("/api/search", json={"query": "bird"}).status_code == 401
        allowed = {"authorization": f"Bearer {TOKEN}"}
        assert client.post("/api/search", json={"query": "bird"}, headers=allowed).status_code == 200
        assert TOKEN not in client.get("/").text
