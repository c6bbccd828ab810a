import pytest

from metacompress_server.capacity.gpus import GIB
from metacompress_server.capacity.memory import (
    CapacityError,
    KvLayout,
    assumed_reserve,
    gpu_pool,
    kv_bytes,
    size_of,
)
from metacompress_server.capacity.published import PUBLISHED


@pytest.mark.parametrize(
    ("text", "size"), [(None, 0), (5, 5), ("7", 7), ("2k", 2000), ("1.5G", 3 * GIB // 2)]
)
def test_sizes_as_vllm_takes_them(text: object, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["lots", "-1", "5X"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(CapacityError, match=text):
        size_of(text)


@pytest.mark.parametrize(
    ("name", "kib"),
    [("llava-1.5-7b", 512), ("llava-1.5-13b", 800), ("qwen2-vl-7b", 56), ("qwen2.5-vl-72b", 320)],
)
def test_a_token_of_known_models(name: str, kib: int) -> None:
    assert KvLayout(2, 16).token_bytes(PUBLISHED[name]) == kib << 10


def test_every_gpu_holds_at_least_one_key_head() -> None:
    model = PUBLISHED["qwen2-vl-7b"]  # four of them
    alone, on_four, on_seven = (KvLayout(2, 16, n).token_bytes(model) for n in (1, 4, 7))
    assert on_four == alone
    assert on_seven * 4 == alone * 7


def test_kv_of_one_token() -> None:
    assert kv_bytes(num_layers=3, num_heads=2, head_size=5, number_bytes=4) == 2 * 3 * 2 * 5 * 4


def test_what_is_left_of_a_gpu() -> None:
    pool = gpu_pool(10 * GIB, 24 * GIB, 0.5, tensor_parallel=2, reserve=GIB)
    assert pool.allowed == 24 * GIB
    assert pool.kv == (24 - 10 - 2) * GIB


def test_nothing_is_left() -> None:
    with pytest.raises(CapacityError, match=r"14\.00 GiB of weights"):
        gpu_pool(14 * GIB, 16 * GIB, 0.9, tensor_parallel=1, reserve=GIB)


def test_the_reserve_grows_with_the_model_and_shrinks_with_its_parts() -> None:
    small, large = PUBLISHED["llava-1.5-7b"], PUBLISHED["llava-next-72b"]
    assert assumed_reserve(small) < assumed_reserve(large)
    assert assumed_reserve(large, 8) < assumed_reserve(large)
