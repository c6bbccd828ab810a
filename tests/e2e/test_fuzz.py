"""Thousands of requests of strangers: nothing but refusals, and a dialogue beside them unharmed."""

import base64
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL.Image import Image
from running_server import RunningServer

sys.path.insert(0, str(Path(__file__).parents[1]))

from broken_pictures import Corpus, build_corpus

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ROUTES = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
MUTATIONS = 1500
MEMORY_GROWTH_MIB = 300

FUZZ = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return build_corpus()


@pytest.fixture(scope="module")
def http(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def dialogue_beside(
    server: RunningServer,
    picture: Callable[[int], Image],
    data_url: Callable[[Image], str],
) -> Iterator[None]:
    """One good dialogue runs all the time; every answer must be the first one's."""
    request = chat(data_url(picture(90)), max_tokens=4)
    answers: Counter[str] = Counter()
    over = threading.Event()

    def talk() -> None:
        with httpx.Client(base_url=server.url, timeout=120) as client:
            while not over.wait(0.5):
                answer = client.post(ROUTES[0], json=request)
                found = answer.json().get("choices", [{}])[0].get("message", {}).get("content")
                answers[f"{answer.status_code} {found}"] += 1

    processes = {process.pid for process in engine_processes(server)}
    before = memory_mib(server)
    talking = threading.Thread(target=talk)
    talking.start()
    yield
    over.set()
    talking.join()
    assert len(answers) == 1, answers
    assert next(iter(answers)).startswith("200 ")
    assert {process.pid for process in engine_processes(server)} == processes
    assert memory_mib(server) - before < MEMORY_GROWTH_MIB
    assert server.metric("metacompress_requests_in_flight") == 0


def chat(url: str, **more: Any) -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": url}}
    content = [part, {"type": "text", "text": "what is it?"}]
    messages = [{"role": "user", "content": content}]
    return {"model": "tiny", "max_tokens": 1, "temperature": 0, "messages": messages, **more}


def engine_processes(server: RunningServer) -> list[psutil.Process]:
    """All but those that decode, which come and go."""
    return [
        process
        for process in server.processes
        if "decode_worker" not in " ".join(process.cmdline())
    ]


def memory_mib(server: RunningServer) -> float:
    return sum(process.memory_info().rss for process in engine_processes(server)) / (1 << 20)


def well_behaved(answer: httpx.Response) -> None:
    """An answer, or a refusal in OpenAI's envelope that gives nothing away."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        for leak in ("/tmp", "site-packages", "Traceback", "pydantic", "0x7f", "vllm."):
            assert leak not in error["message"], error


def test_every_odd_picture(http: httpx.Client, corpus: Corpus) -> None:
    for name, (content, code) in corpus.items():
        url = "data:image/png;base64," + base64.b64encode(content).decode()
        answer = http.post(ROUTES[0], json=chat(url))
        well_behaved(answer)
        assert (answer.status_code == 200) == (code is None), (name, answer.text[:200])
        if code is not None:
            assert answer.json()["error"]["code"] == code, name


def test_damaged_pictures_by_the_thousand(http: httpx.Client, corpus: Corpus) -> None:
    """Good small files with a few bytes changed, cut or doubled."""
    chance = random.Random(5)
    files = [content for content, _ in corpus.values() if 0 < len(content) < 20_000]
    for _ in range(MUTATIONS):
        content = bytearray(chance.choice(files))
        for _ in range(chance.randint(1, 8)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        if chance.random() < 0.2:
            del content[chance.randrange(len(content)) :]
        url = "data:image/jpeg;base64," + base64.b64encode(content).decode()
        well_behaved(http.post(ROUTES[0], json=chat(url)))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["<image>", "user", "image_url", "data:,", "http://127.0.0.1/", "\x00"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(-2, 5),
    "max_tokens": st.integers(-1, 4),
    "temperature": st.floats(-1, 3) | st.none(),
    "top_p": st.floats(-1, 2),
    "top_k": st.integers(-5, 10**6),
    "min_p": st.floats(-1, 2),
    "seed": st.integers(-(2**64), 2**64),
    "stop": st.text(max_size=5) | st.lists(st.text(max_size=5), max_size=6),
    "stop_token_ids": st.lists(st.integers(-5, 10**10), max_size=3),
    "logprobs": st.booleans() | st.integers(-2, 40),
    "top_logprobs": st.integers(-2, 40),
    "prompt_logprobs": st.integers(-2, 40),
    "logit_bias": st.dictionaries(
        st.text(max_size=6) | st.just("5"), st.floats(-200, 200), max_size=3
    ),
    "allowed_token_ids": st.lists(st.integers(-5, 10**6), max_size=3),
    "bad_words": st.lists(st.text(max_size=5), max_size=3),
    "presence_penalty": st.floats(-5, 5),
    "frequency_penalty": st.floats(-5, 5),
    "repetition_penalty": st.floats(-2, 5),
    "length_penalty": st.floats(-5, 5),
    "min_tokens": st.integers(-3, 10),
    "ignore_eos": st.booleans(),
    "echo": st.booleans(),
    "add_special_tokens": st.booleans(),
    "add_generation_prompt": st.booleans(),
    "continue_final_message": st.booleans(),
    "truncate_prompt_tokens": st.integers(-2, 100),
    "return_token_ids": st.booleans(),
    "return_tokens_as_token_ids": st.booleans(),
    "stream_options": st.fixed_dictionaries({"include_usage": st.booleans()}),
    "response_format": JSON | st.just({"type": "json_object"}),
    "structured_outputs": JSON
    | st.fixed_dictionaries({"regex": st.sampled_from(["(", "a{3}", "[", "(a+)+$"])})
    | st.just({"choice": []}),
    "tools": JSON,
    "tool_choice": JSON | st.sampled_from(["none", "auto", "required"]),
    "thinking_token_budget": st.integers(-2, 5),
    "stream_interval": st.integers(-1, 3),
    "routed_experts_prompt_start": st.integers(-3, 10),
    "watermarking": st.booleans(),
    "user": JSON,
    "metadata": JSON,
    "session_id": JSON,
    "prompt_cache_key": JSON,
}


@FUZZ
@given(
    st.sampled_from(ROUTES),
    st.dictionaries(st.sampled_from(["messages", "prompt", "input", "model", "stream"]), JSON),
)
def test_any_json(http: httpx.Client, route: str, body: dict[str, Any]) -> None:
    well_behaved(http.post(route, json={"max_tokens": 1, "max_output_tokens": 1, **body}))


@FUZZ
@given(
    st.sampled_from(ROUTES),
    st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=4, unique=True),
    st.data(),
    st.booleans(),
)
def test_every_option_with_any_value(
    http: httpx.Client, small_url: str, route: str, names: list[str], data: Any, with_picture: bool
) -> None:
    options = {name: data.draw(FIELDS[name], label=name) for name in names}
    well_behaved(http.post(route, json={**base_request(route, small_url, with_picture), **options}))


@FUZZ
@given(st.sampled_from(ROUTES), st.binary(max_size=300))
def test_any_bytes(http: httpx.Client, route: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = http.post(route, content=body, headers=headers)
    well_behaved(answer)
    assert answer.status_code >= 400


@FUZZ
@given(st.sampled_from(["messages", "input"]), st.lists(JSON, max_size=3), JSON)
def test_any_message(http: httpx.Client, name: str, parts: list[Any], role: Any) -> None:
    route = ROUTES[0] if name == "messages" else ROUTES[2]
    body = {"model": "tiny", "max_tokens": 1, name: [{"role": role, "content": parts}]}
    well_behaved(http.post(route, json=body))
    body[name] = [{"role": "user", "content": [*parts, {"type": "text", "text": "x"}]}]
    well_behaved(http.post(route, json=body))


@pytest.fixture(scope="module")
def small_url(picture: Callable[[int], Image], data_url: Callable[[Image], str]) -> str:
    return data_url(picture(91).resize((16, 16)))


def base_request(route: str, url: str, with_picture: bool) -> dict[str, Any]:
    request = {"model": "tiny", "max_tokens": 1}
    if route == ROUTES[1]:
        return {**request, "prompt": "what"}
    if route == ROUTES[0]:
        parts = chat(url)["messages"][0]["content"]
        return {**request, "messages": [{"role": "user", "content": parts[1 - with_picture :]}]}
    picture = [{"type": "input_image", "image_url": url, "detail": "auto"}] if with_picture else []
    content = [*picture, {"type": "input_text", "text": "what"}]
    return {
        "model": "tiny",
        "max_output_tokens": 1,
        "input": [{"role": "user", "content": content}],
    }


def test_schemathesis_finds_no_server_error(server: RunningServer, tmp_path: Path) -> None:
    """Every route of the server's own document, open or closed, with inputs of its schemas."""
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        *("run", f"{server.url}/openapi.json", "--checks", "not_a_server_error"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--no-shrink"),
        *("--generation-deterministic", "--continue-on-failure", "--warnings", "off"),
        *("--max-time", "300", "--request-timeout", "60", "--no-color"),
    ]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-1000:]
