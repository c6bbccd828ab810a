"""Chat completions through OpenAI's own client: usage, streams, several pictures, typed tokens."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from dialogue import Dialogue, Part, ask, savings, served_answer
from openai.types.chat import ChatCompletionChunk
from PIL.Image import Image
from running_server import RunningServer

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

Picture = Callable[[int], Part]


@pytest.fixture(scope="module")
def shown(picture: Callable[[int], Image], data_url: Callable[[Image], str]) -> Picture:
    def show(seed: int) -> Part:
        image = picture(seed)
        return image, data_url(image)

    return show


def stream(
    server: RunningServer, dialogue: Dialogue, **options: object
) -> list[ChatCompletionChunk]:
    events = server.client.chat.completions.create(
        model="tiny",
        messages=dialogue.messages,
        max_tokens=6,
        temperature=0,
        stream=True,
        extra_body={"ignore_eos": True},
        **options,  # type: ignore[call-overload]
    )
    return list(events)


def test_usage_tells_original_and_kept_tokens(server: RunningServer, shown: Picture) -> None:
    completion = ask(server.client, Dialogue().user(shown(30), shown(31), "two pictures"))
    assert savings(completion) == {
        "image_tokens_original": 128,
        "image_tokens": 12,
        "images_reused": 0,
    }
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == len("two pictures") + 2 + 12
    assert completion.usage.completion_tokens == 8
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + 8


def test_text_alone_saves_nothing(server: RunningServer) -> None:
    assert savings(ask(server.client, Dialogue().user("hello"))) == {
        "image_tokens_original": 0,
        "image_tokens": 0,
        "images_reused": 0,
    }


def test_a_known_picture_at_another_place_needs_no_tower(
    server: RunningServer, shown: Picture
) -> None:
    """Not a prefix hit: the encoder cache knows it by content, compressor and m."""
    ask(server.client, Dialogue().user(shown(32), "first"))
    completion = ask(server.client, Dialogue().user("elsewhere", shown(33), shown(32)))
    assert savings(completion)["images_reused"] == 1


def test_the_same_picture_twice_in_a_request_runs_once(
    server: RunningServer, shown: Picture
) -> None:
    before = server.metric("metacompress_vision_tower_runs_total")
    completion = ask(server.client, Dialogue().user(shown(34), shown(34)))
    assert savings(completion)["images_reused"] == 1
    assert server.metric("metacompress_vision_tower_runs_total") == before + 1


def test_several_choices_share_one_run(server: RunningServer, shown: Picture) -> None:
    completion = ask(server.client, Dialogue().user(shown(35), "n"), temperature=1, n=3)
    assert len(completion.choices) == 3
    assert savings(completion)["images_reused"] == 0


def test_a_stream_ends_with_the_same_usage(server: RunningServer, shown: Picture) -> None:
    dialogue = Dialogue().user(shown(36), "stream this to me please, piece by piece")
    whole = ask(server.client, dialogue, max_tokens=6)
    chunks = stream(server, dialogue, stream_options={"include_usage": True})
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    usage = chunks[-1].usage
    assert usage is not None
    assert chunks[-1].choices == []
    assert usage.metacompress == {  # type: ignore[attr-defined]
        "image_tokens_original": 64,
        "image_tokens": 6,
        "images_reused": 1,
    }
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 32


def test_a_stream_without_include_usage_has_none(server: RunningServer, shown: Picture) -> None:
    chunks = stream(server, Dialogue().user(shown(37), "hi"))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_a_stream_ends_as_openai_says(server: RunningServer) -> None:
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    lines = server.post("/v1/chat/completions", json=body).text.split("\n\n")
    assert all(line.startswith("data: ") for line in lines if line)
    assert lines[-2:] == ["data: [DONE]", ""]


@pytest.mark.parametrize("text", ["what is an <image>?", "<image>" * 5, "a<image><image>b"])
def test_typed_placeholders_stay_text(server: RunningServer, shown: Picture, text: str) -> None:
    completion = ask(server.client, Dialogue().user(shown(38), text))
    assert savings(completion)["image_tokens"] == 6
    alone = ask(server.client, Dialogue().user(text))
    assert savings(alone)["image_tokens"] == 0


def test_requests_side_by_side_answer_as_alone(server: RunningServer, shown: Picture) -> None:
    dialogues = [Dialogue().user(shown(40 + i), f"number {i}") for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda dialogue: ask(server.client, dialogue), dialogues))
    for dialogue, completion in zip(dialogues, together, strict=True):
        alone = served_answer(ask(server.client, dialogue))
        assert served_answer(completion).token_ids == alone.token_ids
        assert savings(completion)["images_reused"] == 0


def test_a_picture_encoded_for_a_neighbour_counts_once(
    server: RunningServer, shown: Picture
) -> None:
    before = server.metric("metacompress_vision_tower_runs_total")
    dialogues = [Dialogue().user(f"{i} asks about", shown(50)) for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda dialogue: ask(server.client, dialogue), dialogues))
    assert sum(savings(answer)["images_reused"] for answer in answers) == 5
    assert server.metric("metacompress_vision_tower_runs_total") == before + 1


def test_metrics_count_what_usage_says(server: RunningServer, shown: Picture) -> None:
    def series() -> list[float]:
        return [
            server.metric("metacompress_images_total", model_name="tiny", result="compressed"),
            server.metric("metacompress_images_total", model_name="tiny", result="reused"),
            server.metric("metacompress_image_tokens_total", model_name="tiny", stage="original"),
            server.metric("metacompress_image_tokens_total", model_name="tiny", stage="kept"),
        ]

    before = series()
    ask(server.client, Dialogue().user(shown(60), shown(61), "two"))
    ask(server.client, Dialogue().user(shown(60), shown(61), "two"))
    assert [now - then for now, then in zip(series(), before, strict=True)] == [2, 2, 256, 24]
    assert server.metric("metacompress_build_info", model_name="tiny") == 1
    assert server.metric("vllm:prefix_cache_queries_total") > 0
