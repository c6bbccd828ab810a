"""What a client gets for a request that cannot be served; the server answers the next one."""

import base64
import io
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError
from PIL.Image import Image
from PIL.Image import new as new_image
from running_server import RunningServer

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def post(server: RunningServer, **body: Any) -> httpx.Response:
    request = {"model": "tiny", "max_tokens": 4, **body}
    return server.post("/v1/chat/completions", json=request)


def image_part(url: str | None, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}, **more}


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "what is it?"}]}]


def data(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@pytest.fixture(scope="module")
def url(picture: Callable[[int], Image], data_url: Callable[[Image], str]) -> str:
    return data_url(picture(70))


@pytest.fixture(autouse=True)
def server_lives_on(server: RunningServer, url: str) -> Iterator[None]:
    """After every case: the same server answers a good request."""
    yield
    assert post(server, messages=user(image_part(url))).status_code == 200


def refused(answer: httpx.Response, status: int, code: str | None) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    assert answer.status_code == status
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    for leak in ("/tmp", "site-packages", "BytesIO", "pydantic", "0x", "Traceback"):
        assert leak not in error["message"]
    return error


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (data(b"not a picture"), "invalid_image"),
        (data(b"<svg/>", "image/svg+xml"), "unsupported_image_media_type"),
        (data(b""), "invalid_image"),
        ("data:image/png;base64,@@@!", "invalid_base64_image"),
        ("data:image/png;base64,abc", "invalid_base64_image"),
        ("http://127.0.0.1:1/secret.png", "invalid_image_url"),
        ("file:///etc/passwd", "invalid_image_url"),
    ],
)
def test_a_broken_picture(server: RunningServer, broken: str, code: str, stream: bool) -> None:
    before = server.metric("metacompress_images_total", result="rejected")
    refused(post(server, messages=user(image_part(broken)), stream=stream), 400, code)
    assert server.metric("metacompress_images_total", result="rejected") == before + 1


@pytest.mark.parametrize("route", ["chat/completions", "responses"])
def test_no_address_of_a_client_is_ever_opened(server: RunningServer, route: str) -> None:
    """A listener on the address hears nothing, whatever the route and the spelling."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.5)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/x.png"
        chat = {"messages": user(image_part(address))}
        content = [{"type": "input_image", "image_url": address}]
        responses = {"input": [{"role": "user", "content": content}]}
        body = {"model": "tiny", **(chat if route == "chat/completions" else responses)}
        answer = server.post(f"/v1/{route}", json=body)
        refused(answer, 400, "invalid_image_url")
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_picture_of_too_many_pixels(server: RunningServer) -> None:
    buffer = io.BytesIO()
    new_image("1", (30_000, 30_000)).save(buffer, "PNG")
    answer = post(server, messages=user(image_part(data(buffer.getvalue()))))
    refused(answer, 400, "image_too_large")


def test_truncation_that_would_cut_a_picture(server: RunningServer, url: str) -> None:
    answer = post(server, messages=user(image_part(url)), truncate_prompt_tokens=5)
    refused(answer, 400, "invalid_prompt")


def test_a_truncated_picture(server: RunningServer, url: str) -> None:
    content = base64.b64decode(url.partition(",")[2])
    half = data(content[: len(content) // 2])
    refused(post(server, messages=user(image_part(half))), 400, "invalid_image")


def test_a_picture_too_many(server: RunningServer, url: str) -> None:
    answer = post(server, messages=user(*[image_part(url)] * 17))
    assert "16" in refused(answer, 400, "too_many_images")["message"]


def test_pictures_whose_positions_do_not_fit(server: RunningServer, url: str) -> None:
    """Ten pictures are 60 tokens, far below the limit of 640, but keep 640 positions."""
    answer = post(server, messages=user(*[image_part(url)] * 10))
    error = refused(answer, 400, "context_length_exceeded")
    assert "positions" in error["message"]
    assert "640" in error["message"]


def test_text_that_does_not_fit(server: RunningServer) -> None:
    answer = post(server, messages=[{"role": "user", "content": "x" * 700}])
    refused(answer, 400, "context_length_exceeded")


def test_an_unknown_model(server: RunningServer) -> None:
    answer = post(server, model="gpt-4o", messages=[{"role": "user", "content": "x"}])
    assert "gpt-4o" in refused(answer, 404, "model_not_found")["message"]


@pytest.mark.parametrize("content", ["picture", "no picture"])
def test_a_clients_own_picture_id(server: RunningServer, url: str, content: str) -> None:
    """vLLM would answer about whatever picture was first sent under that id."""
    part = image_part(url if content == "picture" else None, uuid="mine")
    error = refused(post(server, messages=user(part)), 400, "unsupported_parameter")
    assert error["param"] == "messages[0].content[0].uuid"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": "text"},
        {"messages": []},
        {"messages": [{"role": "user", "content": [{"type": "banana"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        {"messages": [{"role": "user", "content": "x"}], "max_tokens": 0},
        {"messages": [{"role": "user", "content": "x"}], "temperature": -1},
        {"messages": [{"role": "user", "content": "x"}], "mm_processor_kwargs": {"size": 1}},
    ],
)
def test_requests_that_make_no_sense(server: RunningServer, body: dict[str, Any]) -> None:
    answer = post(server, **body)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["type"] == "invalid_request_error"
    assert "\n" not in error["message"]
    assert "pydantic" not in error["message"]


def test_a_body_that_is_not_json(server: RunningServer) -> None:
    headers = {"content-type": "application/json"}
    answer = server.post("/v1/chat/completions", content="{", headers=headers)
    refused(answer, 400, "invalid_json")


def test_routes_and_methods_that_do_not_exist(server: RunningServer) -> None:
    refused(server.get("/v1/nothing"), 404, None)
    refused(server.get("/v1/chat/completions"), 405, None)


def test_openais_client_raises_its_own_errors(server: RunningServer) -> None:
    with pytest.raises(NotFoundError) as missing:
        server.client.chat.completions.create(
            model="nope", messages=[{"role": "user", "content": "x"}]
        )
    assert missing.value.code == "model_not_found"
    with pytest.raises(BadRequestError) as broken:
        server.client.chat.completions.create(
            model="tiny",
            messages=user(image_part(data(b"junk"))),  # type: ignore[arg-type]
        )
    assert broken.value.code == "invalid_image"


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_after_the_picture_was_processed_spoils_no_later_request(
    server: RunningServer,
    picture: Callable[[int], Image],
    data_url: Callable[[Image], str],
    stream: bool,
) -> None:
    """vLLM took the picture for sent to the engine, which never got it: the next answer was 500."""
    messages = user(image_part(data_url(picture(71 + stream))))
    refusal = post(server, messages=messages, allowed_token_ids=[10**6])
    assert refusal.status_code == 400
    answer = post(server, messages=messages, stream=stream)
    assert answer.status_code == 200
    assert "error" not in answer.text
    assert "choices" in answer.text


def test_the_same_for_a_response(
    server: RunningServer, picture: Callable[[int], Image], data_url: Callable[[Image], str]
) -> None:
    part = {"type": "input_image", "image_url": data_url(picture(73)), "detail": "auto"}
    request = {"model": "tiny", "input": [{"role": "user", "content": [part]}]}
    messages = user(image_part(part["image_url"]))
    assert post(server, messages=messages, allowed_token_ids=[10**6]).status_code == 400
    answer = server.post("/v1/responses", json={**request, "max_output_tokens": 2})
    assert answer.status_code == 200, answer.text
