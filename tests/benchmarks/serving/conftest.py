"""A server of a few lines, in the place of a real one."""

import asyncio
import json

import httpx
import pytest
from PIL import Image

from benchmarks.serving.turns import Answers, Dialogue, Load, Question

PAGE = """# HELP vllm:num_preemptions_total x
vllm:num_preemptions_total{{engine="0"}} 2.0
vllm:cache_config_info{{block_size="32",num_gpu_blocks="4"}} 1.0
metacompress_vision_tower_runs_total{{model_name="m"}} {towers}
"""


class Scripted(httpx.AsyncBaseTransport):
    """Answers every question with what `answer` makes of the request, as a stream.

    seen: the requests' bodies. most_at_once: how many were being answered together.
    """

    def __init__(self, answer=None, seconds=0.0):
        self.answer = answer or (lambda body: "yes")
        self.seconds = seconds
        self.seen = []
        self.most_at_once = self.now = 0

    async def handle_async_request(self, request):
        if request.url.path == "/metrics":
            return httpx.Response(200, text=PAGE.format(towers=len(self.seen)))
        body = json.loads(await request.aread())
        self.seen.append(body)
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.now -= 1
        said = self.answer(body)
        if said is None:
            return httpx.Response(503, text="busy")
        return httpx.Response(200, text=stream(said))


def stream(said, image_tokens=25):
    """Chunks as vLLM sends them: the role, words, usage, the end."""
    chunks = [{"choices": [{"delta": {"role": "assistant", "content": ""}}]}]
    chunks += [{"choices": [{"delta": {"content": word}}]} for word in said.split(" ")]
    usage = {
        "prompt_tokens": 60,
        "completion_tokens": len(said.split(" ")),
        "prompt_tokens_details": {"cached_tokens": 32},
        "metacompress": {"image_tokens": image_tokens, "images_reused": 1},
    }
    chunks.append({"choices": [], "usage": usage})
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


@pytest.fixture
def scripted():
    return Scripted


@pytest.fixture
def load(tmp_path):
    """Builds a load of some dialogues of two questions each about one picture."""
    picture = tmp_path / "picture.png"
    Image.new("RGB", (8, 8)).save(picture)

    def build(count=3, answers=None, **more):
        questions = (Question("Is it?", "Yes."), Question("And now?", "No."))
        dialogues = tuple(Dialogue(f"d{i}", str(picture), questions) for i in range(count))
        answers = answers or Answers(max_tokens=8, scripted=False, image_tokens=25)
        return Load("http://127.0.0.1:1", "m", dialogues, answers, **more)

    return build
