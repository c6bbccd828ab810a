"""Dialogues about pictures, as a client sends them and as the reference reads them."""

from dataclasses import dataclass, field
from typing import Any

from openai import OpenAI
from openai.types.chat import ChatCompletion
from PIL.Image import Image
from reference import ReferenceAnswer

Part = str | tuple[Image, str] | tuple[Image, str, str]
"""Text, or a picture with its data URL, and its detail where it has one."""


@dataclass
class Dialogue:
    """Turns so far: role and parts."""

    turns: list[tuple[str, list[Part]]] = field(default_factory=list)

    def user(self, *parts: Part) -> "Dialogue":
        return Dialogue([*self.turns, ("user", list(parts))])

    def assistant(self, text: str) -> "Dialogue":
        return Dialogue([*self.turns, ("assistant", [text])])

    @property
    def images(self) -> list[Image]:
        return [part[0] for _, parts in self.turns for part in parts if isinstance(part, tuple)]

    @property
    def prompt(self) -> str:
        """The text that the tiny checkpoint's chat template makes of it."""
        text = ""
        for role, parts in self.turns:
            body = "".join("<image>" if isinstance(part, tuple) else part for part in parts)
            text += f"<|{role}|>{body}" + ("<|end|>" if role == "assistant" else "")
        return text + "<|assistant|>"

    @property
    def messages(self) -> list[Any]:
        return [
            {"role": role, "content": [_content(part) for part in parts]}
            for role, parts in self.turns
        ]


def _content(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    detail = {"detail": part[2]} if len(part) == 3 else {}
    return {"type": "image_url", "image_url": {"url": part[1], **detail}}


def ask(
    client: OpenAI, dialogue: Dialogue, max_tokens: int = 8, temperature: float = 0, **body: Any
) -> ChatCompletion:
    """Greedy by default, to the last token asked for, with log-probabilities and token ids."""
    extra = {"ignore_eos": True, "return_token_ids": True, **body}
    completion: ChatCompletion = client.chat.completions.create(
        model="tiny",
        messages=dialogue.messages,
        max_tokens=max_tokens,
        temperature=temperature,
        logprobs=True,
        extra_body=extra,
    )
    return completion


def served_answer(completion: ChatCompletion) -> ReferenceAnswer:
    """Tokens and log-probabilities of a served answer."""
    choice = completion.choices[0]
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    return ReferenceAnswer(
        token_ids=choice.token_ids,  # type: ignore[attr-defined]
        logprobs=[token.logprob for token in choice.logprobs.content],
    )


def savings(completion: ChatCompletion) -> dict[str, int]:
    """The `metacompress` field of usage."""
    field_: dict[str, int] = completion.usage.metacompress  # type: ignore[union-attr]
    return field_
