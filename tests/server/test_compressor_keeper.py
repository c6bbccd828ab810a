from typing import Any

import pytest

from metacompress_server.engine.reload import CompressorKeeper, CompressorMismatch
from metacompress_server.engine.worker import COMPRESSORS, LOAD


class Workers:
    """Answers as two workers would."""

    def __init__(self, *held: list[str], complaints: tuple[str, ...] = ("", "")) -> None:
        self.held = held
        self.complaints = complaints
        self.asked: list[tuple[Any, ...]] = []

    def __call__(self, method: str, *args: Any) -> list[Any]:
        self.asked.append((method, *args))
        return list(self.held) if method == COMPRESSORS else list(self.complaints)


def test_workers_with_the_artifact_of_the_folder_may_start() -> None:
    CompressorKeeper(Workers(["a" * 64], ["a" * 64])).verify("folder", "a" * 64)


@pytest.mark.parametrize(
    ("held", "named"), [((["b" * 64], ["a" * 64]), 0), ((["a" * 64], ["b" * 64]), 1)]
)
def test_a_worker_with_another_artifact_ends_the_start_in_one_line(
    held: tuple[list[str], list[str]], named: int
) -> None:
    with pytest.raises(CompressorMismatch) as raised:
        CompressorKeeper(Workers(*held)).verify("folder", "a" * 64)
    assert str(raised.value) == (
        f"worker {named} holds compressor {'b' * 12}, but folder is {'a' * 12} here: "
        "every machine needs the same artifact"
    )


def test_digests_are_those_that_all_workers_hold() -> None:
    assert CompressorKeeper(Workers(["a", "b"], ["a", "b"])).digests() == ["a", "b"]
    with pytest.raises(CompressorMismatch, match="worker 1 holds compressors a, worker 0 a, b"):
        CompressorKeeper(Workers(["a", "b"], ["a"])).digests()


def test_every_worker_is_asked_to_load_and_complaints_name_the_worker() -> None:
    workers = Workers()
    assert CompressorKeeper(workers).reload("folder", "digest") == ""
    assert workers.asked == [(LOAD, "folder", "digest")]
    failing = Workers(complaints=("", "no such file"))
    assert CompressorKeeper(failing).reload("folder", "digest") == "worker 1: no such file"
