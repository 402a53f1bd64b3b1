"""The search page in a browser: Debian's chromium, driven by playwright. Models that count words, a real server."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

ATTACK = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
DOCUMENTS = {
    "birds.md": "# Birds\n\nThe red bird sits on a tree near the river. It eats small fish in the morning.\n",
    "trains.md": "# Trains\n\nThe old train runs on stone. It runs to the city near the river every day.\n",
    "cats.txt": "A small cat sleeps under the house. The cat is not red, and no cat is a bird.",
    f"{ATTACK[:22]}.jsonl": json.dumps(
        {
            "_id": ATTACK,
            "title": f"Attack {ATTACK}",
            "text": f"The bird said {ATTACK} and flew over the river & <b>away</b>.",
            "kind": ATTACK,
        }
    ),
}
QUERY = "the bird near the river"


@contextmanager
def serving(folder: Path, **options: Any) -> Iterator[str]:
    """The address of a server over the documents; ended behind it."""
    import uvicorn

    from bicross import readers
    from bicross.server import Setup, create_search_app
    from bicross.server.jobs import Jobs
    from bicross.sparse import BM25Encoder
    from bicross.stores import QdrantStore
    from word_models import WordEncoder, WordScorer

    class Encoder(WordEncoder):
        passage_limit = 64

        def count_tokens(self, texts):
            return [len(text.split()) for text in texts]

        def encode_document(self, texts):
            if not isinstance(texts, str) and len(texts) == 64:
                time.sleep(0.3)  # so that a long job can be looked at
            return super().encode_document(texts)

    class Second(Encoder):
        name = "second"

    with QdrantStore(path=":memory:") as store:
        scorer, lexical = WordScorer(), BM25Encoder("en")
        setups = [
            Setup("words", Encoder(), store, scorer, sparse_encoder=lexical),
            Setup("second", Second(), store, scorer, sparse_encoder=lexical),
        ]
        jobs = Jobs(setups)
        job = jobs.start("docs", "docs", lambda: readers.read(folder))
        until = time.monotonic() + 60
        while job.is_open and time.monotonic() < until:
            time.sleep(0.02)
        assert job.state == "done", job.error
        app = create_search_app(setups, jobs=jobs, **options)
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=5))
            thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
            thread.start()
            try:
                while not server.started:
                    time.sleep(0.02)
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join(30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("page") / "docs"
    made.mkdir()
    for name, text in DOCUMENTS.items():
        (made / name).write_text(text, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    with serving(folder) as address:
        yield address


@pytest.fixture
def own_site(folder: Path, opened: Any) -> Iterator[str]:
    """For tests that index something; its pages close before it ends, or their next question would find nobody."""
    with serving(folder) as address:
        yield address
        opened.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Opens pages, and looks afterwards that none wrote an error on its console or asked another site."""
    contexts, errors = [], []

    def open_page(address: str, *, before: Callable[[Any], object] | None = None, **options: Any) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        host = re.match(r"https?://[^/]+", address)[0]
        page.on("request", lambda asked: None if asked.url.startswith(host) else errors.append(f"asked {asked.url}"))
        page.set_default_timeout(30_000)
        if before is not None:
            before(page)
        page.goto(address)
        return page

    def close() -> None:
        while contexts:
            contexts.pop().close()

    open_page.errors, open_page.close = errors, close
    yield open_page
    close()
    assert errors == []


def searched(page: Any, query: str = QUERY) -> None:
    page.fill("#query", query)
    page.press("#query", "Enter")
    settled(page)


def until(page: Any, expression: str, seconds: float = 30.0) -> None:
    """Wait until an expression is true; playwright's own way needs a policy that allows eval."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never: {expression}"
        page.wait_for_timeout(30)


def settled(page: Any) -> None:
    page.wait_for_timeout(250)  # a change of the settings searches a moment later
    until(page, "document.querySelector('.column:not([aria-busy]), .empty, .problem') !== null")
    until(page, "!document.getElementById('status').textContent.startsWith('Searching')")


def titles(page: Any, column: int = 1) -> list[str]:
    return page.locator(f".column:nth-child({column}) .hits h3").all_inner_texts()


def test_a_search_shows_both_stages(opened: Any, site: str) -> None:
    page = opened(site)
    searched(page)
    assert page.locator(".hits .hit").count() == 4
    assert page.locator("mark").count() == 4
    assert "4 results of 4 candidates, 4 reranked" in page.inner_text("#status")
    for step in ("encode query", "retrieve", "rerank", "find sentences"):
        assert re.search(rf"{step} [\d,.]+ ms", page.inner_text(".times"))
    lines = page.locator(".ladder path")
    assert lines.count() == 4
    assert page.locator(".bar span").count() == 4
    facts = page.locator(".facts").first.inner_text()
    assert re.search(r"cross-encoder [\d.-]+ score", facts)
    assert "fused z-score" in facts


def test_lines_lead_from_the_first_stages_order_to_the_cards(opened: Any, site: str) -> None:
    page = opened(f"{site}/?q={QUERY}&stage=dense")
    settled(page)
    places = page.eval_on_selector_all(
        ".hits .hit", "cards => cards.map(card => [Number(card.dataset.rank), card.querySelector('.move').textContent])"
    )
    assert sorted(rank for rank, _ in places) == [1, 2, 3, 4]
    for rank, (before, said) in enumerate(places, start=1):
        assert f"was {before}" in said
        assert ("rose" in said) == (before > rank)
        assert ("fell" in said) == (before < rank)


def test_stages_are_switched(opened: Any, site: str) -> None:
    page = opened(f"{site}/?q={QUERY}")
    settled(page)
    page.get_by_text("BM25", exact=True).first.click()
    settled(page)
    assert "BM25" in page.locator(".facts").first.inner_text()
    assert "stage=bm25" in page.url
    page.uncheck("#rerank")
    settled(page)
    assert "rerank=0" in page.url
    assert page.locator("mark").count() == 0
    assert "0 reranked" in page.inner_text("#status")
    assert "rerank" not in page.inner_text(".times")
    assert page.is_disabled("#candidates")


def test_filters_come_from_the_passages(opened: Any, site: str) -> None:
    page = opened(f"{site}/?q={QUERY}")
    settled(page)
    page.get_by_label("cats.txt").check()
    settled(page)
    assert page.locator(".hits .hit").count() == 1
    page.get_by_label("birds.md").check()
    settled(page)
    assert page.locator(".hits .hit").count() == 2
    shared = page.url
    again = opened(shared)
    settled(again)
    assert titles(again) == titles(page)
    page.get_by_label("birds.md").focus()
    page.keyboard.press("Space")
    settled(page)
    assert page.locator(".hits .hit").count() == 1
    assert page.evaluate("document.activeElement.dataset.value") == "birds.md", "the focus stays where it was"
    page.click("#clear")
    settled(page)
    assert page.locator(".hits .hit").count() == 4


def test_an_address_holds_the_whole_state(opened: Any, site: str) -> None:
    page = opened(f"{site}/?q={QUERY}&stage=dense&rerank=0&candidates=20&budget=500&count=5&f.file_name=birds.md")
    settled(page)
    assert page.input_value("#query") == QUERY
    assert page.is_checked("[name=stage][value=dense]")
    assert not page.is_checked("#rerank")
    assert (page.input_value("#candidates"), page.input_value("#budget"), page.input_value("#count")) == (
        "20",
        "500",
        "5",
    )
    assert titles(page) == ["Birds"]
    searched(page, "train")
    page.go_back()
    settled(page)
    assert page.input_value("#query") == QUERY


def test_what_is_asked_before_the_page_knows_its_collection_is_done_then(opened: Any, own_site: str) -> None:
    held: list[Any] = []
    free = False

    def hold(route: Any) -> None:
        if free:
            route.continue_()
        else:
            held.append(route)

    page = opened(own_site, before=lambda page: page.route("**/api/info", hold))
    page.fill("#query", QUERY)
    page.press("#query", "Enter")
    page.set_input_files("#files", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"a zebra"})
    page.fill("#query", "typed meanwhile")
    page.wait_for_timeout(100)
    free = True
    assert held
    for route in held:
        route.continue_()
    page.locator("#jobs", has_text="1 new").wait_for()
    # The page asks what the collection is now, and then searches again.
    until(page, "document.querySelectorAll('.hits .hit').length === 5")
    assert page.input_value("#query") == "typed meanwhile"


def test_a_file_that_is_indexed_before_the_page_asks_is_found_without_a_word(opened: Any, own_site: str) -> None:
    def answer_late(route: Any) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        answer = route.fetch()
        end = time.monotonic() + 30
        while json.loads(urllib.request.urlopen(f"{own_site}/api/index").read())["jobs"][0]["state"] != "done":
            assert time.monotonic() < end
        route.fulfill(response=answer)

    page = opened(own_site, before=lambda page: page.route("**/api/index?*", answer_late))
    searched(page, QUERY)
    before = page.locator(".hits .hit").count()
    page.set_input_files("#files", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"a zebra"})
    until(page, f"document.querySelectorAll('.hits .hit').length === {before + 1}")
    assert "1 new" in page.inner_text("#jobs")


def test_senseless_addresses_do_no_harm(opened: Any, site: str) -> None:
    page = opened(
        f"{site}/?q={QUERY}&stage=magic&candidates=x&count=9999&budget=-5&setup=none&f.x=%3Cb%3E&compare=1"
        "&setup2=no&f.constructor=x&f.__proto__=y"
    )
    settled(page)
    assert page.locator(".empty").count() == 2
    page.get_by_role("button", name="Clear the filters").first.click()
    settled(page)
    assert page.locator(".hits").first.locator(".hit").count() == 4


def test_markup_is_shown_as_text(opened: Any, site: str) -> None:
    page = opened(site)
    searched(page, f"{ATTACK} bird")
    assert ATTACK in page.inner_text(".hits")
    assert ATTACK in "".join(titles(page))
    assert ATTACK in page.locator("#facets").text_content()
    assert page.locator("main img, main script, aside img, .text b").count() == 0
    assert page.title() == f"{ATTACK[:60]} – bicross search"
    page.locator(".facet > summary", has_text="kind").click()
    page.get_by_label(ATTACK).check()
    settled(page)
    assert page.locator(".hits .hit").count() == 1


def test_a_file_is_uploaded_with_its_progress(opened: Any, own_site: str) -> None:
    page = opened(f"{own_site}/?q=zebra")
    settled(page)
    name = "<b>rows<i>.csv"
    rows = "text,colour\n" + "".join(f"the zebra number {i} stands near the river,striped\n" for i in range(320))
    page.set_input_files("#files", {"name": name, "mimeType": "text/csv", "buffer": rows.encode()})
    page.wait_for_selector("#jobs progress[value]")
    assert 0 <= page.eval_on_selector("#jobs progress", "bar => bar.value / bar.max") <= 1
    until(page, "document.querySelector('#jobs .job').textContent.includes('320 new')")
    until(page, "document.getElementById('ended').textContent.includes('320 new')")
    until(page, "document.querySelector('.hits .hit').textContent.includes('zebra')")
    settled(page)
    assert name in page.inner_text("#jobs")
    assert page.locator(".hits .hit").count() == 10
    assert "zebra" in page.locator(".hits .hit").first.inner_text()
    assert page.locator(".misses .hit").count() >= 5
    assert page.get_by_label(name).count() >= 1


def test_an_upload_is_cancelled(opened: Any, own_site: str) -> None:
    page = opened(own_site)
    rows = "text\n" + "".join(f"the ox number {i}\n" for i in range(1_280))
    page.set_input_files("#files", {"name": "oxen.csv", "mimeType": "text/csv", "buffer": rows.encode()})
    page.wait_for_selector("#jobs progress[value]")
    page.get_by_role("button", name="Cancel oxen.csv").click()
    until(page, "document.querySelector('#jobs .job').textContent.includes('Cancelled')")


def test_files_that_cannot_be_read_say_why(opened: Any, own_site: str) -> None:
    page = opened(own_site)
    page.set_input_files("#files", {"name": "binary.txt", "mimeType": "text/plain", "buffer": bytes(range(256)) * 9})
    page.wait_for_selector("#jobs .job.failed")
    assert "binary.txt" in page.inner_text("#jobs .job.failed .note")
    large = {"name": "large.txt", "mimeType": "text/plain", "buffer": b"a" * ((20 << 20) + 1)}
    page.set_input_files("#files", large)
    page.locator("#jobs .job.failed", has_text="a file may have 20 MiB").wait_for()


def test_two_models_side_by_side(opened: Any, site: str) -> None:
    page = opened(f"{site}/?q={QUERY}&stage=dense")
    settled(page)
    page.check("#compare")
    settled(page)
    assert page.locator(".column").count() == 2
    assert "second" in page.locator(".column > h2").nth(1).inner_text()
    page.select_option("#stage2", "bm25")
    page.uncheck("#rerank2")
    settled(page)
    assert "BM25" in page.locator(".column").nth(1).locator(".facts").first.inner_text()
    assert "on the left" in page.locator(".column").nth(1).inner_text()
    assert re.search(r"\d of \d in common", page.locator(".column > h2").nth(1).inner_text())
    again = opened(page.url)
    settled(again)
    assert (titles(again, 1), titles(again, 2)) == (titles(page, 1), titles(page, 2))


def test_the_keyboard_alone(opened: Any, site: str) -> None:
    page = opened(site)
    page.keyboard.type(QUERY)
    page.keyboard.press("Enter")
    settled(page)
    focused = "document.activeElement.id"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "hit-0-1"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "hit-0-2"
    page.keyboard.press("Escape")
    assert page.evaluate(focused) == "query"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("/")
    assert page.evaluate(focused) == "query"
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert {"stage", "rerank", "candidates", "budget", "count", "setup", "compare", "files"} <= reached
    page.focus("[name=stage]:checked")
    page.keyboard.press("ArrowLeft")
    settled(page)
    assert "stage=bm25" in page.url


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_no_width_scrolls_sideways(opened: Any, site: str, width: int) -> None:
    page = opened(f"{site}/?q={QUERY}&compare=1", viewport={"width": width, "height": 844})
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 390:
        assert not page.is_visible("#rerank")
        page.click("#settings > summary")
        page.uncheck("#rerank")
        settled(page)
        assert "rerank=0" in page.url
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 1280])
def test_the_best_sentence_is_seen_at_every_width(opened: Any, tmp_path: Path, width: int) -> None:
    before = "The morning was cold, and the old train ran on stone to the city. Nobody sat in it but a small cat. " * 2
    behind = "The cat slept until the evening. Then it went home and ate a fish. " * 3
    (tmp_path / "zebra.txt").write_text(f"{before}A zebra stood at the well. {behind}", encoding="utf-8")
    with serving(tmp_path) as address:
        page = opened(f"{address}/?q=zebra well", viewport={"width": width, "height": 844})
        settled(page)
        card = page.locator(".hits .hit", has_text="zebra").first
        text, mark = card.locator(".text").bounding_box(), card.locator("mark").bounding_box()
        assert card.locator("mark").inner_text() == "A zebra stood at the well."
        assert text["y"] <= mark["y"]
        assert mark["y"] + mark["height"] <= text["y"] + text["height"] + 1
        if width == 390:
            card.get_by_role("button", name="Whole passage").click()
            text = card.locator(".text")
            assert text.evaluate("text => text.scrollHeight <= text.clientHeight + 1")
            assert text.inner_text().startswith("The morning was cold")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_serious_violation(opened: Any, site: str, scheme: str, width: int) -> None:
    if importlib.util.find_spec("axe_playwright_python") is None:
        pytest.skip("axe-core comes with axe-playwright-python (pip install axe-playwright-python)")
    from axe_playwright_python.sync_playwright import Axe

    for query in ("", f"?q={QUERY}&compare=1", "?q=x&f.file_name=none"):
        page = opened(f"{site}/{query}", viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
        settled(page)
        if width == 390:
            page.click("#settings > summary")
        found = Axe().run(page).response["violations"]
        serious = {each["id"]: each["nodes"][0]["html"] for each in found if each["impact"] in ("serious", "critical")}
        assert serious == {}


def test_a_token_is_asked_for(opened: Any, folder: Path) -> None:
    token = "t0ken-that-nobody-guesses"
    with serving(folder, token=token) as address:
        page = opened(f"{address}/?q={QUERY}")
        page.fill("#token", "wrong")
        page.press("#token", "Enter")
        page.wait_for_selector("#token")
        page.fill("#token", token)
        page.press("#token", "Enter")
        settled(page)
        assert page.locator(".hits .hit").count() == 4
        assert token not in page.url
        # A browser notes each refusal on its console.
        assert all("401" in error for error in opened.errors)
        opened.errors.clear()


def test_a_server_that_has_gone_is_said_to_have(opened: Any, folder: Path) -> None:
    with serving(folder) as address:
        page = opened(f"{address}/?q={QUERY}")
        settled(page)
    page.press("#query", "Enter")
    page.wait_for_selector(".problem")
    assert "Is it running?" in page.inner_text(".problem")
    assert page.get_by_role("button", name="Try again").is_visible()
    opened.errors.clear()


def test_an_answer_is_streamed_with_citations(opened: Any, folder: Path) -> None:
    from bicross.server.answers import Chat
    from server.chat_stub import Stub, chatting

    stub = Stub("Birds <b>sit</b> ", "near the river [1], ", "not [9].")
    with chatting(stub), serving(folder, chat=Chat(stub.url, "small")) as address:
        page = opened(f"{address}/?q={QUERY}")
        settled(page)
        page.click("#ask")
        page.wait_for_selector("#answer-text a")
        assert page.inner_text("#answer-text") == "Birds <b>sit</b> near the river [1], not [9]."
        assert page.inner_text("#answer-note") == "Cites [1]. [9] stands for no passage."
        assert page.locator("#answer-text a").count() == 1
        page.click("#answer-text a")
        settled(page)
        assert page.evaluate("document.activeElement.id") == "hit-0-1"
        assert page.inner_text("#answer-text").startswith("Birds"), "what was followed is still there"


def test_another_sites_page_gets_nothing(browser: Any, site: str) -> None:
    page = browser.new_page()
    page.goto("about:blank")
    said = page.evaluate(
        "address => fetch(address + '/api/info', {mode: 'no-cors'}).then(a => a.type, e => 'refused')", site
    )
    assert said == "refused"
    page.close()
