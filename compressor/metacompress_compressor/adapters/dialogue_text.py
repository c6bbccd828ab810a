"""From the turns of a dialogue to token ids, with every answer's tokens marked."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TurnText:
    """One exchange. Both texts are stripped and not empty."""

    question: str
    answer: str


@dataclass(frozen=True)
class EncodedDialogue:
    """A dialogue as the language model reads it, the picture still one placeholder token.

    Attributes:
        token_ids: the whole text.
        image_index: where the placeholder stands.
        answer_indices: for each turn, where its answer's tokens stand, its end token included.
    """

    token_ids: tuple[int, ...]
    image_index: int
    answer_indices: tuple[tuple[int, ...], ...]


class DialogueEncoder:
    """Renders dialogues through a checkpoint's own chat template.

    The text is tokenised in one piece, as a server tokenises it in the next turn. The template is
    rendered once for each number of turns, with marks in place of the texts: so it is known exactly
    where an answer starts, and thousands of dialogues take seconds. A template that looks into the
    messages' text (few do) is therefore not supported.

    Args:
        processor: the checkpoint's processor, with a tokenizer and a chat template.
        image_token_id: the placeholder's id.
    """

    def __init__(self, processor: Any, image_token_id: int) -> None:
        self._processor = processor
        self._tokenizer = processor.tokenizer
        self._image_token_id = image_token_id
        self._special_ids = frozenset(self._tokenizer.all_special_ids)
        self._literals = functools.lru_cache(maxsize=256)(self._render_literals)

    def encode(self, dialogues: Sequence[Sequence[TurnText]]) -> list[EncodedDialogue]:
        """Encode dialogues about one picture each; the first question carries the picture.

        Raises:
            ValueError: no turns, or a text that itself holds the picture's placeholder.
        """
        texts, spans = [], []
        for turns in dialogues:
            text, answer_spans = self._assemble(turns)
            texts.append(text)
            spans.append(answer_spans)
        bos = self._tokenizer.bos_token
        add_special = bos is None or not all(text.startswith(bos) for text in texts)
        encoded = self._tokenizer(
            texts, return_offsets_mapping=True, add_special_tokens=add_special
        )
        return [
            self._locate(ids, offsets, answer_spans)
            for ids, offsets, answer_spans in zip(
                encoded["input_ids"], encoded["offset_mapping"], spans, strict=True
            )
        ]

    def encode_prompt(self, turns: Sequence[TurnText]) -> EncodedDialogue:
        """Encode a dialogue up to where the last turn's answer begins; `answer_indices` is empty.

        Raises:
            ValueError: as `encode`.
        """
        (whole,) = self.encode([turns])
        return EncodedDialogue(
            whole.token_ids[: whole.answer_indices[-1][0]], whole.image_index, ()
        )

    def _render_literals(self, num_turns: int) -> tuple[str, ...]:
        """What the template writes before, between and after the 2 x `num_turns` texts."""
        marks = [f"\ue000{number}\ue001" for number in range(2 * num_turns)]
        messages: list[dict[str, Any]] = []
        for number, mark in enumerate(marks):
            role = "assistant" if number % 2 else "user"
            messages.append({"role": role, "content": [{"type": "text", "text": mark}]})
        messages[0]["content"].insert(0, {"type": "image"})
        rest = self._processor.apply_chat_template(messages, tokenize=False)
        literals = []
        for mark in marks:
            literal, found, rest = rest.partition(mark)
            if not found:
                raise ValueError("the chat template does not write the messages in their order")
            literals.append(literal)
        return (*literals, rest)

    def _assemble(self, turns: Sequence[TurnText]) -> tuple[str, list[tuple[int, int]]]:
        """The whole text and the character span of every answer."""
        if not turns:
            raise ValueError("a dialogue needs at least one turn")
        literals = self._literals(len(turns))
        text, spans = "", []
        for number, turn in enumerate(turns):
            text += literals[2 * number] + turn.question + literals[2 * number + 1]
            spans.append((len(text), len(text) + len(turn.answer)))
            text += turn.answer
        return text + literals[-1], spans

    def _locate(
        self,
        ids: list[int],
        offsets: list[tuple[int, int]],
        answer_spans: list[tuple[int, int]],
    ) -> EncodedDialogue:
        if ids.count(self._image_token_id) != 1:
            raise ValueError("the dialogue's text holds the picture's placeholder token")
        answers = []
        cursor = 0
        for start, stop in answer_spans:
            while offsets[cursor][1] <= start:
                cursor += 1
            first = cursor
            while cursor < len(ids) and offsets[cursor][0] < stop:
                cursor += 1
            ends = cursor < len(ids) and ids[cursor] in self._special_ids
            answers.append(tuple(range(first, cursor + ends)))
        return EncodedDialogue(tuple(ids), ids.index(self._image_token_id), tuple(answers))
