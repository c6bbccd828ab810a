"""The playground as a person uses it: a real server with keys, a real headless Chromium."""

import base64
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import torch
from browser import chromium
from PIL import Image
from running_server import ANSWER_S, RunningServer, Serve

from metacompress_compressor.adapters import load_adapter
from metacompress_compressor.artifact import load_artifact
from metacompress_compressor.embedded import compressor_dir, model_dir, pictures_dir

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

KEY = "playground-key"
WAIT_MS = 60_000
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
SAMPLES = sorted(path.name for path in pictures_dir().glob("*.png"))


@pytest.fixture(scope="module")
def served(serve_logged: Serve) -> Iterator[RunningServer]:
    environment = {"METACOMPRESS_API_KEYS": KEY}
    flags = ["--serve-uncompressed"]
    with serve_logged(["serve"], flags, small=False, environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def card(served: RunningServer) -> dict[str, Any]:
    answer = httpx.get(f"{served.url}/v1/models", headers={"Authorization": f"Bearer {KEY}"})
    compressor: dict[str, Any] = answer.json()["data"][0]["metacompress"]
    return compressor


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as running:
        yield running


@dataclass
class Visit:
    """One open page, and whatever went wrong in it."""

    page: "Page"
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def enter_key(self) -> None:
        self.page.fill("#key", KEY)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("#samples button", timeout=WAIT_MS)

    def take_sample(self, number: int = 0) -> None:
        self.page.click(f"#samples li:nth-child({number + 1}) button")
        self.page.wait_for_selector("#tokens button", timeout=WAIT_MS)

    def ask(self, question: str) -> None:
        self.page.fill("#question", question)
        self.page.press("#question", "Enter")
        self.settle()

    def choose(self, budget: str) -> None:
        self.page.click(f"#budgets label:has([value={budget}])")

    def settle(self) -> None:
        """Until nobody is answering any more."""
        self.page.wait_for_selector("#send:text-is('Send')", timeout=WAIT_MS)
        self.page.wait_for_selector(".waiting", state="detached", timeout=WAIT_MS)

    def answers(self) -> list[str]:
        return self.page.locator(".answer .text").all_inner_texts()

    def tiles(self) -> list[str]:
        return [
            text.replace("\n", " ") for text in self.page.locator("#tiles > div").all_inner_texts()
        ]

    def lit(self) -> list[int]:
        """Opacity of the light at 64 places of the picture; empty where there is none."""
        alphas: list[int] = self.page.evaluate(
            """() => {
                const canvas = document.getElementById("overlay");
                const context = canvas.getContext("2d");
                const at = (i) => Math.floor(((i + 0.5) / 8) * canvas.width);
                return [...Array(64).keys()].map(
                    (i) => context.getImageData(at(i % 8), at(i >> 3), 1, 1).data[3]);
            }"""
        )
        return alphas if any(alphas) else []


@pytest.fixture
def visit(browser: "Browser", served: RunningServer) -> Iterator[Callable[..., Visit]]:
    """Opens the page in a context of its own; at the end nothing unexpected may have happened."""
    opened: list[Visit] = []

    def open_page(*, key: bool = True, **options: Any) -> Visit:
        context = browser.new_context(viewport=options.pop("viewport", DESKTOP), **options)
        one = Visit(context.new_page())
        opened.append(one)
        one.page.on("console", lambda said: _note(one, said.type, said.text))
        one.page.on("pageerror", lambda error: one.complaints.append(str(error)))
        one.page.on("request", lambda request: one.hosts.add(request.url.split("/playground")[0]))
        one.page.goto(f"{served.url}/playground")
        one.page.wait_for_selector("#key-form:not([hidden])")
        if key:
            one.enter_key()
        return one

    yield open_page
    for one in opened:
        one.page.context.close()
        assert not one.complaints
        assert all(host.startswith((served.url, "data:")) for host in one.hosts), one.hosts


def _note(visit: Visit, kind: str, text: str) -> None:
    """Scripts and policies must not complain. Expected are refused requests, which Chromium reports
    by itself, and that `Visit.lit` reads the canvas back more than once.
    """
    if kind in ("error", "warning") and not text.startswith(_EXPECTED):
        visit.complaints.append(text)


_EXPECTED = ("Failed to load resource", "Canvas2D: Multiple readback")


def make_png(seed: int, size: tuple[int, int] = (120, 80)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def drop(page: "Page", content: bytes, name: str, media_type: str) -> None:
    transfer = page.evaluate_handle(
        """([content, name, type]) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, { type }));
            return transfer;
        }""",
        [base64.b64encode(content).decode(), name, media_type],
    )
    page.dispatch_event("#empty, #inspector", "drop", {"dataTransfer": transfer})


def test_a_sample_and_four_turns(visit: Callable[..., Visit], card: dict[str, Any]) -> None:
    one = visit()
    one.take_sample()
    assert len(set(one.lit())) > 4, "no light on the picture"
    for _ in range(4):
        one.page.click("#ideas button")
        one.settle()
    assert len(one.answers()) == 4
    assert all(one.answers())
    kept, original = card["image_tokens"]["auto"], card["image_tokens_original"]
    tokens, kv, tower = one.tiles()
    assert tokens == f"Visual tokens {kept} of {original} ({100 * kept / original:.1f} %)"
    per_token = card["kv_bytes_per_token"]
    assert kv.startswith(f"Visual KV in every turn {kept * per_token / 1024:.0f} KiB")
    assert kv.endswith(f"of {original * per_token / 1024**2:.1f} MiB")
    assert tower == "Vision tower ran 1× in 4 turns; reused 3×"
    assert one.page.locator("#bars .turn").count() == 4
    facts = one.page.locator(".facts").all_inner_texts()
    assert "picture encoded" in facts[0]
    assert all("picture reused" in fact and "from cache" in fact for fact in facts[1:])
    assert all(re.search(r"first token \d", fact) for fact in facts)


def test_one_token_lights_another_part_than_all_of_them(visit: Callable[..., Visit]) -> None:
    one = visit()
    one.take_sample()
    everything = one.lit()
    one.page.click("#tokens button:nth-child(13)")
    one.page.mouse.move(1, 1)
    single = one.lit()
    assert single != everything
    assert sum(single) > sum(everything), "one row lets less of the picture through than all"
    assert "Kept token 13" in one.page.inner_text("#caption")
    one.page.click("#show-none")
    assert one.lit() == []
    box = one.page.locator("#overlay").bounding_box()
    assert box is not None
    one.page.mouse.move(box["x"] + 5, box["y"] + 5)
    assert re.match(r"Kept token \d+ looks at", one.page.inner_text("#caption"))


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("detail", ["low", "auto", "high"])
def test_a_look_is_the_compressors_own_p(served: RunningServer, name: str, detail: str) -> None:
    picture = Image.open(pictures_dir() / name).convert("RGB")
    url = "data:image/png;base64," + base64.b64encode((pictures_dir() / name).read_bytes()).decode()
    answer = look(served, {"image_url": {"url": url, "detail": detail}})
    assert answer.status_code == 200, answer.text
    seen = answer.json()
    raw = np.frombuffer(base64.b64decode(seen["weights"]), "<f2").astype(np.float32)
    weights = torch.from_numpy(raw.reshape(seen["image_tokens"], seen["image_tokens_original"]))
    adapter, artifact = load_adapter(model_dir()), load_artifact(compressor_dir())
    ratios = artifact.config.trained_retention_ratios
    ratio = {"low": min(ratios), "auto": artifact.config.retention_ratio, "high": max(ratios)}
    with torch.no_grad():
        expected = artifact.mapping.weights(
            adapter.visual_tokens([picture]), adapter.grid, ratio[detail]
        )[0]
    assert weights.shape == expected.shape
    assert seen["kept_grid"]["rows"] * seen["kept_grid"]["cols"] == len(expected)
    assert seen["visible"] == {"left": 0.0, "top": 0.0, "width": 1.0, "height": 1.0}
    assert torch.allclose(weights.sum(dim=1), torch.ones(len(weights)), atol=2e-3)
    apart = (weights - expected).abs().sum(dim=1) / 2
    assert apart.max() < 0.1, "the server computes in half precision, but not that differently"


def look(served: RunningServer, body: Any, key: str = KEY) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{served.url}/playground/look", json=body, headers=headers, timeout=ANSWER_S)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"image_url": {"url": "data:image/png;base64,AAAA"}}, 400, "invalid_image"),
        ({"image_url": {"url": "https://example.org/a.png"}}, 400, "invalid_image_url"),
        ({"image_url": {"url": "file-none"}}, 404, None),
        ({"image_url": {"url": "data:,", "detail": "tiny"}}, 400, "invalid_value"),
        ({"image_url": {}}, 400, None),
        ({}, 400, None),
        ([], 400, None),
    ],
)
def test_a_look_at_nonsense_is_an_error_in_words(
    served: RunningServer, body: Any, status: int, code: str | None
) -> None:
    answer = look(served, body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"]
    assert code is None or error["code"] == code


def test_what_the_model_does_not_see_stays_dark(visit: Callable[..., Visit]) -> None:
    """As with LLaVA-1.5's own processor, which cuts off what is longer than a square."""
    one = visit()
    middle = {"left": 0.25, "top": 0.0, "width": 0.5, "height": 1.0}
    change_answers(one.page, "**/playground/look", lambda answer: {**answer, "visible": middle})
    one.take_sample()
    rows = np.array(one.lit()).reshape(8, 8)
    cut = np.concatenate([rows[:, :2], rows[:, -2:]], axis=1)
    assert len(np.unique(cut)) == 1
    assert cut.max() > rows[:, 2:6].max()


def test_a_server_without_a_compressor_is_a_plain_chat(visit: Callable[..., Visit]) -> None:
    one = visit(key=False)
    change_answers(
        one.page,
        "**/v1/models",
        lambda answer: {"data": [{**answer["data"][0], "metacompress": None}]},
    )
    one.enter_key()
    one.page.click("#samples button")
    one.page.wait_for_selector("#caption:has-text('without a compressor')")
    assert one.page.is_hidden("#budgets")
    assert one.page.is_hidden("#kept")
    assert one.page.is_hidden("#compare-box")
    one.ask("Is there a key?")
    assert one.answers() == ["Yes, there is a key."]
    assert one.tiles()[1] == "Visual KV in every turn – not told by this server"


def change_answers(page: "Page", path: str, change: Callable[[Any], Any]) -> None:
    """From here on the page gets the server's answers with a change."""

    def handle(route: Any) -> None:
        answer = route.fetch()
        if answer.ok:
            route.fulfill(response=answer, json=change(answer.json()))
        else:
            route.fulfill(response=answer)

    page.route(path, handle)


def test_looking_leaves_the_counts_of_requests_alone(served: RunningServer) -> None:
    url = "data:image/png;base64," + base64.b64encode(make_png(5)).decode()
    before = served.metric("metacompress_vision_tower_runs_total")
    assert look(served, {"image_url": {"url": url}}).status_code == 200
    assert served.metric("metacompress_vision_tower_runs_total") == before


def test_with_and_without_a_key(visit: Callable[..., Visit], served: RunningServer) -> None:
    assert look(served, {"image_url": {"url": "data:,"}}, key="wrong-key").status_code == 401
    one = visit(key=False)
    assert "API key" in one.page.inner_text("#alert")
    assert one.page.locator("#key").evaluate("field => field === document.activeElement")
    one.page.fill("#key", "wrong-key")
    one.page.keyboard.press("Enter")
    one.page.wait_for_selector("#alert:has-text('missing or not known')")
    one.enter_key()
    assert one.page.is_hidden("#key-form")
    assert one.page.is_hidden("#alert")


def test_dropped_chosen_and_broken_pictures(visit: Callable[..., Visit]) -> None:
    one = visit()
    drop(one.page, make_png(1), "noise.png", "image/png")
    one.page.wait_for_selector("#tokens button", timeout=WAIT_MS)
    ratio = one.page.locator("#frame").evaluate("e => e.clientWidth / e.clientHeight")
    assert ratio == pytest.approx(1.5, rel=0.02)
    drop(one.page, b"GIF89a", "a.gif", "image/gif")
    assert "png, jpeg or webp" in one.page.inner_text("#alert")
    drop(one.page, b"no picture", "a.png", "image/png")
    one.page.wait_for_selector("#alert:has-text('cannot be read')")
    chosen = {"name": "b.png", "mimeType": "image/png", "buffer": make_png(2, (60, 60))}
    one.page.set_input_files("#file", chosen)
    one.page.wait_for_selector("#alert", state="hidden")
    ratio = one.page.locator("#frame").evaluate("e => e.clientWidth / e.clientHeight")
    assert ratio == pytest.approx(1.0, rel=0.02)


def test_what_the_server_refuses_stands_in_the_dialogue_and_can_be_tried_again(
    visit: Callable[..., Visit],
) -> None:
    one = visit()
    drop(one.page, make_png(3, (60, 3)), "flat.png", "image/png")
    one.page.wait_for_selector("#alert:has-text('A picture is too small')", timeout=WAIT_MS)
    one.ask("Is there a key?")
    assert "A picture is too small" in one.page.inner_text(".wrong")
    one.page.reload()
    one.enter_key()
    one.take_sample()
    one.page.route("**/v1/chat/completions", lambda route: route.abort())
    one.ask("Is there a key?")
    assert "cannot be reached" in one.page.inner_text(".wrong")
    one.page.unroute("**/v1/chat/completions")
    one.page.click(".wrong button")
    one.settle()
    assert one.page.locator(".wrong").count() == 0
    assert one.answers() == ["Yes, there is a key."]


def test_the_budget_holds_from_the_next_turn_on(
    visit: Callable[..., Visit], card: dict[str, Any]
) -> None:
    one = visit()
    one.take_sample()
    one.ask("How many objects do you see?")
    one.choose("low")
    one.page.wait_for_selector(f"#caption:has-text('All {card['image_tokens']['low']} kept')")
    assert one.page.locator("#tokens button").count() == card["image_tokens"]["low"]
    one.ask("How many objects do you see?")
    who = one.page.locator(".who").all_inner_texts()
    assert f"{card['image_tokens']['auto']} of" in who[0]
    assert f"{card['image_tokens']['low']} of" in who[1]
    assert one.tiles()[0].startswith(f"Visual tokens {card['image_tokens']['low']} ")


def test_beside_the_model_with_all_tokens(
    visit: Callable[..., Visit], card: dict[str, Any]
) -> None:
    one = visit()
    one.take_sample(1)
    one.page.click("#compare-box")
    one.ask("What is above the bear?")
    assert one.page.locator(".answers.two .answer").count() == 2
    assert all(one.answers())
    assert f"All {card['image_tokens_original']} visual" in one.page.inner_text(".answer.full .who")
    assert one.page.locator("#bars .turn i").count() == 2
    assert one.tiles()[2].startswith("Vision tower ran 1×") or "reused 1×" in one.tiles()[2]


def test_by_keyboard_alone(visit: Callable[..., Visit]) -> None:
    one = visit()
    keyboard = one.page.keyboard
    press_until(one.page, "Tab", "#samples button")
    keyboard.press("Enter")
    one.page.wait_for_selector("#tokens button", timeout=WAIT_MS)
    press_until(one.page, "Tab", "#tokens button")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowDown")
    assert (
        one.page.get_attribute("#tokens button[aria-checked=true]", "aria-label") == "Kept token 7"
    )
    keyboard.press("Escape")
    assert one.page.locator("#tokens button[aria-checked=true]").count() == 0
    press_until(one.page, "Tab", "#question")
    keyboard.type("Is there a key?")
    keyboard.press("Enter")
    one.settle()
    assert one.answers() == ["Yes, there is a key."]
    assert one.page.inner_text("#status").endswith("Yes, there is a key.")


def press_until(page: "Page", key: str, selector: str) -> None:
    for _ in range(40):
        if page.evaluate("wanted => document.activeElement.matches(wanted)", selector):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{selector} cannot be reached")


@pytest.mark.parametrize("width", [320, 390, 768])
def test_no_width_needs_a_horizontal_scroll(visit: Callable[..., Visit], width: int) -> None:
    one = visit(viewport={"width": width, "height": 844}, has_touch=True)
    assert overflow(one.page) <= 0
    one.take_sample()
    one.choose("high")
    one.page.click("#compare-box")
    one.ask("Is there a key?")
    assert overflow(one.page) <= 0


def overflow(page: "Page") -> int:
    pixels: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return pixels


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(visit: Callable[..., Visit], scheme: str) -> None:
    one = visit(color_scheme=scheme)
    one.take_sample()
    one.ask("Is there a key?")
    page_ground = luminance(
        one.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    )
    assert (page_ground < 0.1) == (scheme == "dark")
    for selector in TEXTS:
        ink, ground = one.page.locator(selector).first.evaluate(COLOURS)
        light, dark = sorted((luminance(ink), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{selector}: {ink} on {ground}"


TEXTS = ["h1", "h2", "#model", ".caption", ".asked", ".who", ".text", ".facts span", "#tiles dd"]
TEXTS += ["#tiles small", "#send", ".fine", ".facts .reused, .facts span", "#new", "#bars small"]
COLOURS = """(element) => {
    let ground = element;
    while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)" && ground.parentElement)
        ground = ground.parentElement;
    return [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor];
}"""


def luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    channels = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_control_has_a_name(visit: Callable[..., Visit]) -> None:
    one = visit()
    one.take_sample()
    nameless = one.page.evaluate(
        """() => [...document.querySelectorAll("button, input, textarea, [role=img]")]
            .filter((one) => one.offsetParent !== null)
            .filter((one) => !(one.textContent.trim() || one.ariaLabel || one.labels?.length))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    assert one.page.get_attribute("html", "lang") == "en"


def test_a_new_dialogue_ends_the_session_of_the_last(
    visit: Callable[..., Visit], served: RunningServer
) -> None:
    one = visit()
    one.take_sample()
    one.ask("Is there a key?")
    headers = {"Authorization": f"Bearer {KEY}"}
    before = httpx.get(f"{served.url}/v1/sessions?limit=100", headers=headers).json()["data"]
    with one.page.expect_response(lambda answer: "/v1/sessions/" in answer.url) as ended:
        one.page.click("#new")
    assert ended.value.json()["deleted"] is True
    after = httpx.get(f"{served.url}/v1/sessions?limit=100", headers=headers).json()["data"]
    assert len(after) == len(before) - 1
    assert one.answers() == []


def test_the_log_says_nothing_of_pictures_and_questions(served: RunningServer) -> None:
    log = Path(served.log).read_text(errors="replace")
    assert "Is there a key?" not in log
    assert "base64," not in log.replace("data:image/png;base64,'$(base64", "")
