"""LLaVA's instruction files (`llava_instruct_150k.json` and alike) to dialogues."""

from collections.abc import Iterator
from pathlib import Path

from .drafts import Draft, LeftOut
from .json_files import field, read_json

_PLACEHOLDER = "<image>"


def convert(instructions: Path) -> Iterator[Draft | LeftOut]:
    """Conversations as they are; those without a picture are left out.

    Args:
        instructions: a list of entries with `image` and `conversations`, whose speakers are `human`
            and `gpt` in turns.

    Raises:
        ConversionError: another file.
    """
    entries = read_json(instructions, list, "LLaVA instruction file")
    for number, entry in enumerate(entries):
        where = f"{instructions}: entry {number}"
        spoken = field(entry, "conversations", list, where)
        if "image" not in entry:
            yield LeftOut("text without a picture", where)
            continue
        picture = field(entry, "image", str, where)
        said = [(field(one, "from", str, where), field(one, "value", str, where)) for one in spoken]
        if not said or [who for who, _ in said] != ["human", "gpt"] * (len(said) // 2):
            yield LeftOut("speakers do not take turns", where)
            continue
        texts = [text.replace(_PLACEHOLDER, "").strip() for _, text in said]
        if not all(texts):
            yield LeftOut("an empty text", where)
            continue
        turns = zip(texts[::2], texts[1::2], strict=True)
        yield Draft((picture,), tuple({"question": q, "answer": a} for q, a in turns), where)
