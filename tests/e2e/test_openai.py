"""The official `openai` client against the embedded model: what the API promises, and no more."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from running_server import RunningServer, Serve

from metacompress_compressor.embedded import pictures_dir

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
MODEL = "metacompress-embedded"
KEY = "a-key-for-tests"


@pytest.fixture(scope="module")
def server(serve_logged: Serve) -> Iterator[RunningServer]:
    # The small model would answer in blanks alone.
    compact = '{"backend": "xgrammar", "disable_any_whitespace": true}'
    tools = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    tools += ["--structured-outputs-config", compact]
    keys = {"METACOMPRESS_API_KEYS": f"acme={KEY},other=another-key"}
    with serve_logged(["serve"], tools, small=False, environment=keys) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def messages(data_url_of_file: Any) -> list[Any]:
    url = data_url_of_file(pictures_dir() / "000000.png")
    parts = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "How many objects are there?"},
    ]
    return [{"role": "user", "content": parts}]


def ask(client: OpenAI, messages: list[Any], **options: Any) -> Any:
    given = {"model": MODEL, "max_tokens": 12, "temperature": 0, **options}
    return client.chat.completions.create(messages=messages, **given)


def test_an_answer_in_one_piece(client: OpenAI, messages: list[Any]) -> None:
    answer = ask(client, messages)
    (choice,) = answer.choices
    assert choice.message.content.startswith("There are ")
    assert (choice.finish_reason, choice.message.role) == ("stop", "assistant")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == MODEL


def test_a_stream_says_the_same(client: OpenAI, messages: list[Any]) -> None:
    stream = ask(client, messages, stream=True, stream_options={"include_usage": True})
    *chunks, last = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == ask(client, messages).choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.choices == []
    assert last.usage.completion_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


def test_several_answers(client: OpenAI, messages: list[Any]) -> None:
    answer = ask(client, messages, n=3, temperature=1.5, seed=1)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]


def test_a_seed_decides(client: OpenAI, messages: list[Any]) -> None:
    first, second, other = (
        ask(client, messages, temperature=2.0, seed=seed).choices[0].message.content
        for seed in (5, 5, 6)
    )
    assert first == second
    assert first != other


def test_stop_ends_before_its_word(client: OpenAI, messages: list[Any]) -> None:
    answer = ask(client, messages, stop=["are"])
    assert answer.choices[0].message.content.strip() == "There"
    assert answer.choices[0].finish_reason == "stop"


def test_the_length_limit(client: OpenAI, messages: list[Any]) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        answer = client.chat.completions.create(
            model=MODEL, messages=messages, temperature=0, **{name: 2}
        )
        assert answer.usage.completion_tokens == 2
        assert answer.choices[0].finish_reason == "length"


def test_logprobs_belong_to_the_tokens(client: OpenAI, messages: list[Any]) -> None:
    answer = ask(client, messages, logprobs=True, top_logprobs=3)
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens
    assert all(len(token.top_logprobs) == 3 for token in content)
    assert all(token.logprob <= 0 for token in content)
    assert content[0].token == content[0].top_logprobs[0].token


def test_structured_output_is_of_the_schema(client: OpenAI, messages: list[Any]) -> None:
    schema = {
        "type": "object",
        "properties": {"count": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["count"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "c", "schema": schema, "strict": True}}
    answer = ask(client, messages, response_format=form, max_tokens=60)
    found = json.loads(answer.choices[0].message.content)
    assert found.keys() == {"count"}
    assert found["count"] in range(10)


def test_a_tool_that_must_be_called_is_begun(client: OpenAI, messages: list[Any]) -> None:
    parameters = {
        "type": "object",
        "properties": {"count": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["count"],
        "additionalProperties": False,
    }
    function = {"name": "report", "parameters": parameters, "strict": True}
    tools = [{"type": "function", "function": function}]
    choice = {"type": "function", "function": {"name": "report"}}
    answer = ask(client, messages, tools=tools, tool_choice=choice, max_tokens=200)
    # The grammar forces the call to begin; this small model never ends its arguments.
    message = answer.choices[0].message
    called = message.tool_calls[0].function.name if message.tool_calls else message.content
    assert "report" in called


def test_tools_answers_go_back_into_the_dialogue(client: OpenAI, messages: list[Any]) -> None:
    function = {"name": "report", "arguments": "{}"}
    call = {"id": "call_1", "type": "function", "function": function}
    dialogue = [
        *messages,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "done"},
    ]
    assert ask(client, dialogue).choices[0].finish_reason in ("stop", "length")


def test_the_responses_api_sees_the_picture(client: OpenAI, messages: list[Any]) -> None:
    url = messages[0]["content"][0]["image_url"]["url"]
    parts: Any = [
        {"type": "input_image", "image_url": url, "detail": "auto"},
        {"type": "input_text", "text": "How many objects are there?"},
    ]
    request: Any = {
        "model": MODEL,
        "input": [{"role": "user", "content": parts}],
        "max_output_tokens": 12,
        "temperature": 0,
    }
    answer = client.responses.create(**request)
    assert answer.output_text == ask(client, messages).choices[0].message.content
    events = list(client.responses.create(**request, stream=True))
    assert events[-1].type == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == answer.output_text


def test_plain_completions(client: OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt="How many", max_tokens=3, n=2)
    assert len(answer.choices) == 2
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model=MODEL, prompt=[1, 2, 3], max_tokens=3)
    assert refused.value.param == "prompt"


def test_models_show_the_compressor_and_no_path(client: OpenAI) -> None:
    (card,) = client.models.list().data
    assert client.models.retrieve(MODEL).id == card.id == MODEL
    compressor: Any = card.to_dict()["metacompress"]
    assert compressor["image_tokens_original"] == 256
    assert compressor["image_tokens"]["auto"] == 25
    assert "/" not in json.dumps(card.to_dict())
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nope")


def test_each_error_is_the_clients_own_class(server: RunningServer, client: OpenAI) -> None:
    hello: list[Any] = [{"role": "user", "content": "x"}]
    with (
        OpenAI(base_url=f"{server.url}/v1", api_key="wrong-key", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as unknown,
    ):
        stranger.models.list()
    assert unknown.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as missing:
        ask(client, hello, model="nope")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError):
        ask(client, hello, temperature=-1)
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, hello, extra_body={"cache_salt": "mine"})
    assert (refused.value.param, refused.value.code) == ("cache_salt", "unsupported_parameter")
    with pytest.raises(openai.PermissionDeniedError):
        client.post("/messages", cast_to=object, body={})


def test_every_answer_has_a_request_id(client: OpenAI, messages: list[Any]) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=messages, max_tokens=1, extra_headers={"X-Request-Id": "mine-1"}
    )
    assert raw.headers["x-request-id"] == "mine-1"
    assert ask(client, messages)._request_id


def test_two_tenants_share_no_cached_picture(
    server: RunningServer, client: OpenAI, messages: list[Any]
) -> None:
    """The other tenant's first question about a known picture costs a run of the vision tower."""
    ask(client, messages)
    with OpenAI(base_url=f"{server.url}/v1", api_key="another-key", max_retries=0) as other:
        first = ask(other, messages).usage
        again = ask(other, messages).usage
    assert first.metacompress["images_reused"] == 0
    assert first.prompt_tokens_details.cached_tokens == 0
    assert again.metacompress["images_reused"] == 1


def test_text_alone_as_the_first_request(serve_logged: Serve) -> None:
    """On a CPU with tile registers the engine died of it: nobody had asked for them."""
    with serve_logged(["serve"], small=False) as running:
        request = {"model": MODEL, "messages": [{"role": "user", "content": "How many"}]}
        assert running.post("/v1/chat/completions", json=request).status_code == 200
