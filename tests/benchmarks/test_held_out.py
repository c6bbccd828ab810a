import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.held_out import AnswerError, ask_all
from metacompress_compressor.training.dialogues import Dialogue, Turn

Answer = Callable[[dict], dict]


@pytest.fixture
def dialogues(tmp_path: Path) -> list[Dialogue]:
    """Two, of two turns and of one."""
    picture = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(picture)
    first = (Turn("How many?", "Three."), Turn("Where?", "Left."))
    return [Dialogue(picture, first, ""), Dialogue(picture, (Turn("What?", "A cat."),), "")]


def body(text: str, tokens: int = 25, finish: str = "stop") -> dict:
    return {
        "choices": [{"message": {"content": text}, "finish_reason": finish}],
        "usage": {"metacompress": {"image_tokens": tokens}},
    }


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], tuple[str, list[dict]]]]:
    """Starts a server that answers by a function; gives its URL and the requests that came."""
    running = []

    def start(answer: Answer) -> tuple[str, list[dict]]:
        requests: list[dict] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send({"data": [{"id": "m"}]})

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                requests.append(json.loads(self.rfile.read(length)))
                self._send(answer(requests[-1]))

            def _send(self, found: dict) -> None:
                content = json.dumps(found).encode()
                self.send_response(found.get("status", 200))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}", requests

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


def question(request: dict) -> str:
    content = request["messages"][-1]["content"]
    return str(content[-1]["text"])


def test_answers_are_compared_exactly_to_their_end(serve, dialogues: list[Dialogue]) -> None:
    answers = {
        "How many?": body(" Three. "),
        "Where?": body("Left.", finish="length"),
        "What?": body("a cat."),
    }
    url, _ = serve(lambda request: answers[question(request)])
    found = ask_all(url, dialogues)
    assert found.right == ((True, False), (False,))
    assert found.image_tokens == 25


def test_earlier_answers_are_those_of_the_data(serve, dialogues: list[Dialogue]) -> None:
    url, requests = serve(lambda _: body("nonsense"))
    ask_all(url, dialogues[:1], detail="low")
    second = requests[1]["messages"]
    assert [message["role"] for message in second] == ["user", "assistant", "user"]
    assert second[1]["content"] == "Three."
    pictures = [part for part in second[0]["content"] if part["type"] == "image_url"]
    assert pictures[0]["image_url"]["detail"] == "low"
    assert pictures[0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert {request["temperature"] for request in requests} == {0}


def test_a_failed_request_ends_it(serve, dialogues: list[Dialogue]) -> None:
    url, _ = serve(lambda _: {"status": 429})
    with pytest.raises(AnswerError, match="429"):
        ask_all(url, dialogues)


def test_pictures_of_different_budgets_are_no_measurement(serve, dialogues: list[Dialogue]) -> None:
    url, _ = serve(lambda request: body("x", tokens=25 if question(request) == "What?" else 256))
    with pytest.raises(AnswerError, match="25, 256"):
        ask_all(url, dialogues)
