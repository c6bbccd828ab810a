import pytest

from metacompress_server.capacity.memory import KvLayout
from metacompress_server.capacity.published import PUBLISHED
from metacompress_server.capacity.sessions import Budget, Dialogue, session_cost

LLAVA = PUBLISHED["llava-1.5-7b"]
DIALOGUE = Dialogue(
    turns=3, question_tokens=10, answer_tokens=20, pictures=2, width=336, height=336
)
TOKEN = 512 << 10


def test_a_dialogue_in_tokens_blocks_and_bytes() -> None:
    cost = session_cost(LLAVA, DIALOGUE, Budget(0.1), KvLayout(2, 16))
    assert (cost.num_visual_tokens, cost.num_compressed_tokens) == (576, 56)
    assert cost.tokens == 2 * 56 + 90
    assert cost.blocks == 13
    assert cost.kv_bytes == 13 * 16 * TOKEN
    assert cost.visual_kv_bytes == 2 * 56 * TOKEN
    assert cost.positions == 2 * 576 + 90


def test_one_block_is_vllms_own_and_one_dialogue_is_being_answered() -> None:
    cost = session_cost(LLAVA, DIALOGUE, Budget(0.1), KvLayout(2, 16))
    assert (cost.blocks, cost.kept_blocks) == (13, 12)
    block = 16 * TOKEN
    assert cost.fitting(0) == cost.fitting(13 * block) == 0
    assert cost.fitting(14 * block) == cost.fitting(25 * block) == 1
    assert cost.fitting(26 * block) == 2
    assert cost.fitting((1 + 13 + 5 * 12) * block) == 6


def test_host_memory_takes_full_blocks() -> None:
    cost = session_cost(LLAVA, DIALOGUE, Budget(0.1), KvLayout(2, 16))
    assert cost.fitting_in_host(36 * 16 * TOKEN) == 3


def test_what_fills_its_last_block_keeps_all_but_that() -> None:
    """The last token of an answer was never an input, so its keys and values do not exist."""
    exact = Dialogue(turns=1, question_tokens=40, answer_tokens=32, pictures=1, width=1, height=1)
    cost = session_cost(LLAVA, exact, Budget(0.1), KvLayout(2, 16))
    assert (cost.tokens, cost.blocks, cost.kept_blocks) == (128, 8, 7)


def test_visual_keys_and_values_shrink_by_m_of_n_exactly() -> None:
    kv = KvLayout(2, 16)
    full = session_cost(LLAVA, DIALOGUE, Budget(1.0), kv)
    small = session_cost(LLAVA, DIALOGUE, Budget(0.1), kv)
    assert small.visual_kv_bytes / full.visual_kv_bytes == pytest.approx(56 / 576)


def test_the_mapping_is_work_and_the_tower_stays() -> None:
    kv = KvLayout(2, 16)
    full = session_cost(LLAVA, DIALOGUE, Budget(1.0), kv)
    small = session_cost(LLAVA, DIALOGUE, Budget(0.1), kv)
    assert full.mapping_flops == 0 < small.mapping_flops < small.tower_flops / 100
    assert full.tower_flops == small.tower_flops
    assert small.first_turn_flops < full.first_turn_flops / 4


def test_a_budget_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"1\.5"):
        session_cost(LLAVA, DIALOGUE, Budget(1.5), KvLayout(2, 16))
