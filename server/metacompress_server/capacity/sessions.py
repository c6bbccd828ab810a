"""What a dialogue about pictures takes: tokens, blocks, work of its first turn."""

from dataclasses import dataclass

from metacompress_compressor.windows import WindowKind

from .memory import KvLayout
from .models import ModelShape


@dataclass(frozen=True)
class Dialogue:
    """One session, as long as it gets.

    Attributes:
        turns: questions with their answers.
        question_tokens, answer_tokens: of one turn, the template's tokens included.
        pictures: in the first turn.
        width, height: of a picture in pixels; matters where a model looks at its size.
    """

    turns: int
    question_tokens: int
    answer_tokens: int
    pictures: int
    width: int
    height: int

    @property
    def text_tokens(self) -> int:
        return self.turns * (self.question_tokens + self.answer_tokens)


@dataclass(frozen=True)
class Budget:
    """A kept share m / n of the visual tokens, and the rule that makes m of it."""

    retention_ratio: float
    windows: WindowKind = "2d"


@dataclass(frozen=True)
class SessionCost:
    """One dialogue of one model at one budget.

    Attributes:
        num_visual_tokens, num_compressed_tokens: n and m of one picture.
        tokens: of the whole dialogue, at its end.
        positions: that it reaches, where pictures keep theirs.
        visual_kv_bytes: of its pictures alone.
        blocks: that it takes while an answer is written, the last one half empty.
        kept_blocks: that the prefix cache keeps between its turns: the full ones alone.
        kv_bytes: of its `blocks`.
        tower_flops, mapping_flops, prefill_flops: of the first turn, in nothing found before.
    """

    num_visual_tokens: int
    num_compressed_tokens: int
    tokens: int
    positions: int
    visual_kv_bytes: int
    kv_bytes: int
    blocks: int
    kept_blocks: int
    tower_flops: int
    mapping_flops: int
    prefill_flops: int

    @property
    def first_turn_flops(self) -> int:
        return self.tower_flops + self.mapping_flops + self.prefill_flops

    @property
    def block_bytes(self) -> int:
        return self.kv_bytes // self.blocks

    def fitting(self, kv_pool: int) -> int:
        """How many such dialogues a KV cache of `kv_pool` bytes holds, one of them being answered.

        vLLM keeps one block for itself, and reuses blocks that are not full before any other, so
        the dialogues that wait for their next question hold their full blocks alone.
        """
        free = kv_pool // self.block_bytes - 1 - self.blocks
        if free < 0:
            return 0
        return 1 + free // max(1, self.kept_blocks)

    def fitting_in_host(self, host_bytes: int) -> int:
        """How many a tier of host memory holds, where full blocks go."""
        return host_bytes // (self.block_bytes * max(1, self.kept_blocks))


def session_cost(
    model: ModelShape, dialogue: Dialogue, budget: Budget, kv: KvLayout
) -> SessionCost:
    """What a dialogue costs at a budget.

    Raises:
        ValueError: a budget outside (0, 1], or a picture of which no token is left.
    """
    picture = model.picture(dialogue.width, dialogue.height, budget.retention_ratio, budget.windows)
    n, m = picture.num_visual_tokens, picture.num_compressed_tokens
    visual = dialogue.pictures * m
    tokens = visual + dialogue.text_tokens
    blocks = kv.blocks(tokens)
    token_bytes = kv.token_bytes(model)
    prompt = visual + dialogue.question_tokens
    return SessionCost(
        num_visual_tokens=n,
        num_compressed_tokens=m,
        tokens=tokens,
        positions=dialogue.pictures * n + dialogue.text_tokens,
        visual_kv_bytes=visual * token_bytes,
        kv_bytes=blocks * kv.block_size * token_bytes,
        blocks=blocks,
        kept_blocks=(tokens - 1) // kv.block_size,  # of the last token nothing is computed
        tower_flops=dialogue.pictures * picture.tower_flops,
        mapping_flops=dialogue.pictures * picture.mapping_flops,
        prefill_flops=model.language.prefill_flops([prompt] * model.language.num_layers),
    )
