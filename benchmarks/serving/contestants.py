"""Who is compared: the same model and flags; only how a picture's tokens become fewer differs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.random_llava import (
    EVEN,
    LARGER,
    PROPORTIONED,
    Shape,
    kv_bytes_per_token,
    save_random_compressor,
    save_random_llava,
)
from benchmarks.serving.checkpoints import save_smaller_pictures
from benchmarks.serving.dialogues import Maker, noise, scenes
from benchmarks.serving.turns import Answers
from metacompress_compressor.artifact import load_config
from metacompress_compressor.embedded import compressor_dir, model_dir
from metacompress_compressor.windows import num_compressed_tokens

BLOCK_TOKENS = 32
FULL = "full"
SMALLER = "smaller picture"
MAIN = "metacompress 90%"
REDUCTIONS = {0.3: "70%", 0.2: "80%", 0.1: "90%", 0.05: "95%"}
TIERS = " + tiers"
_BF16 = 2
_TIER_GIB = 0.6


@dataclass(frozen=True)
class Contestant:
    """One server.

    image_tokens: what a picture costs the language model.
    words: of `metacompress serve`.
    flags: the same, without paths, for records.
    environment: variables on top of this process's own.
    """

    name: str
    image_tokens: int
    words: tuple[str, ...]
    flags: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Model:
    """A model under test, with every way to serve it.

    num_visual_tokens: n.
    kv_bytes_per_token: of keys and values in all layers.
    answers: how its answers are asked for.
    make: its dialogues.
    """

    name: str
    num_visual_tokens: int
    kv_bytes_per_token: int
    answers: Answers
    make: Maker
    contestants: tuple[Contestant, ...]


def embedded(folder: Path, kv_tokens: int = 2048) -> Model:
    """The embedded model: real answers, 256 tokens, too small to gain much time."""
    smaller = save_smaller_pictures(folder / "embedded-smaller", 80)
    builder = _Builder(model_dir(), compressor_dir(), kv_tokens, max_model_len=1024)
    return Model(
        name="embedded",
        num_visual_tokens=builder.num_visual_tokens,
        kv_bytes_per_token=builder.token_bytes,
        answers=Answers(max_tokens=40, scripted=False),
        make=scenes,
        contestants=(builder.full(), builder.smaller(smaller, 25), *builder.budgets(REDUCTIONS)),
    )


def random_576(folder: Path, kv_tokens: int = 4608) -> Model:
    """A random LLaVA whose halves relate as those of LLaVA-1.5-7B, for time and memory."""
    builder = _random(folder, "random-576", PROPORTIONED, kv_tokens)
    small = Shape(**{**vars(PROPORTIONED), "image_size": 112})
    smaller = save_random_llava(folder / "random-112", shape=small)
    main = builder.budgets({0.1: REDUCTIONS[0.1]})[0]
    contestants = (
        builder.full(),
        builder.smaller(smaller, small.num_visual_tokens),
        *builder.budgets(REDUCTIONS),
        builder.with_tiers(builder.full()),
        builder.with_tiers(main),
    )
    return _random_model("random-576", builder, contestants)


def random_larger(folder: Path, kv_tokens: int = 4608) -> Model:
    """The same proportions with four times the weights: what a request costs anyway weighs less."""
    return _pair(folder, "random-576-larger", LARGER, kv_tokens)


def random_even(folder: Path, kv_tokens: int = 4608) -> Model:
    """A random LLaVA with a tower as large as its language model: where the tower is the bound."""
    return _pair(folder, "random-576-even", EVEN, kv_tokens)


def _pair(folder: Path, name: str, shape: Shape, kv_tokens: int) -> Model:
    builder = _random(folder, name, shape, kv_tokens)
    contestants = (builder.full(), *builder.budgets({0.1: REDUCTIONS[0.1]}))
    return _random_model(name, builder, contestants)


def _random(folder: Path, name: str, shape: Shape, kv_tokens: int) -> "_Builder":
    model = save_random_llava(folder / name, shape=shape)
    compressor = save_random_compressor(folder / f"{name}-compressor", model, shape=shape)
    return _Builder(model, compressor, kv_tokens, max_model_len=1536)


def _random_model(name: str, builder: "_Builder", contestants: tuple[Contestant, ...]) -> Model:
    return Model(
        name=name,
        num_visual_tokens=builder.num_visual_tokens,
        kv_bytes_per_token=builder.token_bytes,
        answers=Answers(max_tokens=8, scripted=True),
        make=noise,
        contestants=contestants,
    )


class _Builder:
    """Contestants of one model: equal flags, equal KV memory."""

    def __init__(self, model: Path, compressor: Path, kv_tokens: int, max_model_len: int) -> None:
        self._model = model
        self._compressor = compressor
        self._config = load_config(compressor)
        self.token_bytes = kv_bytes_per_token(model, _BF16)
        self.num_visual_tokens = self._config.base_model.grid.num_tokens
        self._kv_bytes = kv_tokens * self.token_bytes
        self._common = (
            *("--kv-cache-memory-bytes", str(self._kv_bytes)),
            *("--max-model-len", str(max_model_len), "--block-size", str(BLOCK_TOKENS)),
            *("--max-num-seqs", "8", "--served-model-name", "bench"),
        )

    def full(self) -> Contestant:
        return self._contestant(FULL, self.num_visual_tokens, self._model, ("none",))

    def smaller(self, model: Path, image_tokens: int) -> Contestant:
        return self._contestant(SMALLER, image_tokens, model, ("none",))

    def budgets(self, ratios: dict[float, str]) -> tuple[Contestant, ...]:
        """The learned mapping at several budgets."""
        grid, windows = self._config.base_model.grid, self._config.windows
        return tuple(
            self._contestant(
                f"metacompress {name}",
                num_compressed_tokens(grid, ratio, windows),
                self._model,
                (str(self._compressor), "--retention", str(ratio)),
            )
            for ratio, name in ratios.items()
        )

    def with_tiers(self, other: Contestant) -> Contestant:
        """The same with sessions' KV kept in host memory, enough of it for every session."""
        tier = ("--session-kv-gib", str(_TIER_GIB), "--session-kv-share", "1")
        return Contestant(
            other.name + TIERS,
            other.image_tokens,
            _without_tiers(other.words) + tier,
            _without_tiers(other.flags) + tier,
        )

    def _contestant(
        self, name: str, image_tokens: int, model: Path, compressor: Sequence[str]
    ) -> Contestant:
        rest = (*self._common, "--session-kv-gib", "0")
        folder, *budget = compressor
        shown = folder if folder == "none" else "DIR"
        return Contestant(
            name,
            image_tokens,
            (str(model), "--compressor", *compressor, *rest),
            ("--compressor", shown, *budget, *rest),
        )


def _without_tiers(words: Sequence[str]) -> tuple[str, ...]:
    """Without the flag that switches them off, which stands at the end."""
    return tuple(words[:-2])
