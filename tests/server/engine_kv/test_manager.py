"""Both tiers under vLLM's own manager, driven as its scheduler drives it, without a model."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from vllm.v1.kv_offload.base import (
    CanonicalKVCacheRef,
    CanonicalKVCaches,
    CanonicalKVCacheTensor,
    GPULoadStoreSpec,
    LookupResult,
    OffloadKey,
    ReqContext,
    ScheduleEndContext,
    make_offload_key,
)
from vllm.v1.kv_offload.config import (
    OffloadingCacheConfig,
    OffloadingConfig,
    OffloadingGroupConfig,
    OffloadingModelConfig,
    OffloadingParallelConfig,
)

from metacompress_server.engine.kv.copy_worker import CopyWorker
from metacompress_server.engine.kv.manager import SessionKVManager
from metacompress_server.engine.kv.options import NAMESPACE
from metacompress_server.engine.kv.requests import SESSION
from metacompress_server.engine.kv.spec import SessionKVSpec

PAGE = 1024
LAYERS = 2
RANKS = 2
CHUNK = 4096
"""Two ranks of two layers of 1024 bytes: just one page of memory."""

STEP = ScheduleEndContext(new_req_ids=(), preempted_req_ids=())


def config(chunks: int, state_dir: Path | None, **options: Any) -> OffloadingConfig:
    disk = {"session_disk_bytes": 64 * CHUNK, "session_state_dir": str(state_dir)}
    return OffloadingConfig(
        groups=(OffloadingGroupConfig(32, ("a", "b"), 0),),
        worker_kv_bytes_per_block=LAYERS * PAGE,
        enable_kv_cache_events=False,
        extra_config={
            "cpu_bytes_to_use": chunks * CHUNK,
            "session_share": 1.0,
            "session_ttl_s": 100.0,
            NAMESPACE: {"model": "none"},
            **(disk if state_dir else {}),
            **options,
        },
        engine_id=f"test-{uuid.uuid4().hex}",
        model=OffloadingModelConfig("none", "float32"),
        cache=OffloadingCacheConfig(tokens_per_hash=32, blocks_per_chunk=1),
        parallel=OffloadingParallelConfig(
            rank=0,
            world_size=RANKS,
            tp_size=RANKS,
            pp_size=1,
            pcp_size=1,
            dcp_size=1,
            data_parallel_index=0,
            data_parallel_size=1,
            data_parallel_rank_local=None,
            is_parallelism_agnostic=False,
        ),
    )


class Engine:
    """A scheduler's manager and two workers whose caches hold random bytes."""

    def __init__(self, config: OffloadingConfig) -> None:
        self.caches: list[list[torch.Tensor]] = []
        self.workers: list[CopyWorker] = []
        for rank in range(RANKS):
            spec = SessionKVSpec(config)
            spec.config = SimpleNamespace(
                **{**vars(config), "parallel": SimpleNamespace(rank=rank, world_size=RANKS)}
            )
            layers = [torch.randint(-128, 127, (16, PAGE), dtype=torch.int8) for _ in range(LAYERS)]
            caches = CanonicalKVCaches(
                [CanonicalKVCacheTensor(layer, PAGE) for layer in layers],
                [[CanonicalKVCacheRef(index, PAGE) for index in range(LAYERS)]],
            )
            self.caches.append(layers)
            self.workers.append(spec.create_worker(caches))
        self.manager: SessionKVManager = SessionKVSpec(config).get_manager()
        self.requests = 0
        self.jobs = 0

    def request(self, session: str | None, num_blocks: int, images_end: int = 0) -> ReqContext:
        self.requests += 1
        params = {SESSION: session} if session else None
        context = ReqContext(f"request-{self.requests}", params)
        for block in range(num_blocks):
            context.set_offload_key_position(key(block), 32 * (block + 1))
        self.manager.announce(context.req_id, images_end)
        self.manager.on_new_request(context)
        return context

    def store(self, context: ReqContext, keys: list[OffloadKey], blocks: list[int]) -> int:
        """Returns how many of the blocks were stored."""
        output = self.manager.prepare_store(keys, context)
        if output is None or not output.keys_to_store:
            return 0
        place = dict(zip(keys, blocks, strict=True))
        source = GPULoadStoreSpec(
            [place[one] for one in output.keys_to_store], [len(output.keys_to_store)], [0]
        )
        for worker in self.workers:
            self.jobs += 1
            assert worker.submit_store(self.jobs, source, output.store_spec)
            assert [done.success for done in worker.get_finished()] == [True]
        self.manager.complete_store(output.keys_to_store, context)
        return len(output.keys_to_store)

    def finish(self, context: ReqContext) -> None:
        self.manager.on_request_finished(context)
        self.settle()

    def settle(self) -> None:
        """Steps until nothing is under way."""
        self.manager.on_schedule_end(STEP)
        while self.manager.has_pending_work():
            self.manager.on_schedule_end(STEP)
        self.manager.on_schedule_end(STEP)

    def find(self, context: ReqContext, keys: list[OffloadKey]) -> list[LookupResult]:
        """What a lookup says once all promotions have ended."""
        for one in keys:
            self.manager.lookup(one, context)
        self.manager.on_schedule_end(STEP)
        self.settle()
        return [self.manager.lookup(one, context) for one in keys]

    def load(self, context: ReqContext, keys: list[OffloadKey], blocks: list[int]) -> None:
        source = self.manager.prepare_load(keys, context)
        for worker in self.workers:
            self.jobs += 1
            worker.submit_load(self.jobs, source, GPULoadStoreSpec(blocks, [len(blocks)], [0]))
            worker.get_finished()
        self.manager.complete_load(keys, context)

    def content(self, block: int) -> list[bytes]:
        return [layer[block].numpy().tobytes() for layers in self.caches for layer in layers]

    def close(self) -> None:
        self.manager.shutdown()
        for worker in self.workers:
            worker.shutdown()


def key(number: int) -> OffloadKey:
    return make_offload_key(number.to_bytes(32, "big"), 0)


KEYS = [key(number) for number in range(8)]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(config(8, tmp_path))
    yield engine
    engine.close()


def totals(engine: Engine) -> dict[str, Any]:
    return engine.manager.report()["totals"]


def test_blocks_of_both_ranks_come_back_from_the_host(engine: Engine) -> None:
    first = engine.request("s", 3)
    assert engine.store(first, KEYS[:3], [0, 1, 2]) == 3
    engine.finish(first)
    again = engine.request("s", 3)
    assert engine.find(again, KEYS[:4]) == [LookupResult.HIT] * 3 + [LookupResult.MISS]
    engine.load(again, KEYS[:3], [7, 6, 5])
    assert [engine.content(block) for block in (7, 6, 5)] == [
        engine.content(block) for block in (0, 1, 2)
    ]
    assert totals(engine)["host_hit_tokens"] == 96
    assert totals(engine)["disk_hit_tokens"] == 0


def test_blocks_come_back_from_the_disk_after_a_restart(engine: Engine, tmp_path: Path) -> None:
    first = engine.request("s", 3)
    engine.store(first, KEYS[:3], [0, 1, 2])
    engine.finish(first)
    expected = [engine.content(block) for block in (0, 1, 2)]
    engine.manager._namespace.close()  # as the end of the process would
    restarted = Engine(config(8, tmp_path))
    again = restarted.request("s", 3)
    assert restarted.find(again, KEYS[:3]) == [LookupResult.HIT] * 3
    restarted.load(again, KEYS[:3], [3, 4, 5])
    assert [restarted.content(block) for block in (3, 4, 5)] == expected
    assert totals(restarted)["disk_hit_tokens"] == 96
    assert list(restarted.manager.report()["sessions"]) == ["s"]
    restarted.close()


def test_a_damaged_file_is_a_miss_and_the_rest_a_hit(engine: Engine, tmp_path: Path) -> None:
    first = engine.request("s", 3)
    engine.store(first, KEYS[:3], [0, 1, 2])
    engine.finish(first)
    engine.manager.reset_cache()
    path = engine.manager._disk.store._path(KEYS[1])
    path.write_bytes(path.read_bytes()[:-1])
    again = engine.request("s", 3)
    assert engine.find(again, KEYS[:3]) == [
        LookupResult.HIT,
        LookupResult.MISS,
        LookupResult.HIT,
    ]
    assert totals(engine)["disk"]["corrupted"] == 1
    engine.manager._disk.store.wait()
    assert not path.exists()


def test_a_full_host_gives_up_text_before_pictures_and_finds_it_on_disk(engine: Engine) -> None:
    old = engine.request("old", 4, images_end=40)
    engine.store(old, KEYS[:4], [0, 1, 2, 3])
    engine.finish(old)
    others = [make_offload_key(bytes([number] * 32), 0) for number in range(100, 106)]
    new = engine.request("new", 0)
    assert engine.store(new, others, [4, 5, 6, 7, 8, 9]) == 6
    engine.finish(new)
    host = engine.manager._host.index
    assert [one in host for one in KEYS[:4]] == [True, True, False, False]
    assert totals(engine)["evictions"]["lru"] == 2
    assert engine.find(engine.request("old", 4), KEYS[:4]) == [LookupResult.HIT] * 4


def test_deleting_frees_both_tiers_and_ends_the_hits(engine: Engine) -> None:
    first = engine.request("s", 3)
    engine.store(first, KEYS[:3], [0, 1, 2])
    engine.finish(first)
    shared = engine.request("other", 1)
    engine.store(shared, KEYS[:1], [0])
    engine.finish(shared)
    assert engine.manager.drop_session("s") == 2 * 2 * CHUNK
    assert (totals(engine)["host_bytes"], totals(engine)["disk_bytes"]) == (CHUNK, CHUNK)
    assert engine.find(engine.request("other", 3), KEYS[:2]) == [
        LookupResult.HIT,
        LookupResult.MISS,
    ]


def test_a_session_deleted_while_its_blocks_move_leaves_nothing(engine: Engine) -> None:
    first = engine.request("s", 4)
    output = engine.manager.prepare_store(KEYS[:2], first)
    assert engine.manager.drop_session("s") == 2 * CHUNK
    engine.manager.complete_store(output.keys_to_store, first)
    assert engine.store(first, KEYS[2:4], [2, 3]) == 0
    engine.finish(first)
    assert (totals(engine)["host_bytes"], totals(engine)["disk_bytes"]) == (0, 0)
    assert engine.store(engine.request("t", 8), KEYS, list(range(8))) == 8


def test_requests_without_a_session_share_the_tiers_and_show_no_session(engine: Engine) -> None:
    first = engine.request(None, 2)
    engine.store(first, KEYS[:2], [0, 1])
    engine.finish(first)
    assert engine.find(engine.request(None, 2), KEYS[:2]) == [LookupResult.HIT] * 2
    assert engine.manager.report()["sessions"] == {}
    assert totals(engine)["host_bytes"] == 2 * CHUNK


def test_a_prompt_longer_than_the_tier_keeps_its_start(tmp_path: Path) -> None:
    engine = Engine(config(3, None))
    assert engine.store(engine.request("s", 5), KEYS[:5], [0, 1, 2, 3, 4]) == 3
    assert [one in engine.manager._host.index for one in KEYS[:4]] == [True, True, True, False]
    assert totals(engine)["evictions"]["capacity"] == 2
    assert totals(engine)["disk"] == {}
    engine.close()


def test_idle_sessions_end_when_somebody_looks(engine: Engine, monkeypatch: Any) -> None:
    first = engine.request("s", 2)
    engine.store(first, KEYS[:2], [0, 1])
    engine.finish(first)
    now = engine.manager._host.index._clock()
    for index in (engine.manager._host.index, engine.manager._disk.store.index):
        monkeypatch.setattr(index, "_clock", lambda: now + 101)
    assert totals(engine)["host_bytes"] == totals(engine)["disk_bytes"] == 0
    assert totals(engine)["evictions"]["ttl"] == 4


def test_the_memory_has_no_name_once_everybody_has_mapped_it(engine: Engine) -> None:
    assert not Path(engine.workers[0]._region.mmap_path).exists()


def test_random_use_never_breaks_vllms_own_accounts(engine: Engine) -> None:
    """Hundreds of stores, loads and deletions; vLLM's assertions and ours watch."""
    random = np.random.default_rng(0)
    for _ in range(150):
        session = f"s{random.integers(5)}"
        offset = 100 * int(random.integers(5))
        chain = [make_offload_key((offset + n).to_bytes(32, "big"), 0) for n in range(6)]
        context = engine.request(session, 0, images_end=64)
        for place, one in enumerate(chain):
            context.set_offload_key_position(one, 32 * (place + 1))
        results = engine.find(context, chain)
        hits = next((n for n, r in enumerate(results) if r is not LookupResult.HIT), len(chain))
        if hits:
            engine.load(context, chain[:hits], list(range(hits)))
        length = int(random.integers(1, 7))
        engine.store(context, chain[:length], list(range(length)))
        if random.random() < 0.1:
            engine.manager.drop_session(session)
        engine.finish(context)
        held = totals(engine)
        assert held["host_bytes"] <= 8 * CHUNK
        used = engine.manager._host._num_allocated_chunks - len(engine.manager._host._free_list)
        assert held["host_bytes"] == used * CHUNK
        assert used == engine.manager._host._num_evictable_cache_chunks


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sesion_share": 0.5}, "no such entry"),
        ({"session_disk_bytes": 5}, "session_state_dir"),
        ({"blocks_per_chunk": 2}, "no such entry"),
        ({"cpu_bytes_to_use": 100}, "holds no block"),
    ],
)
def test_options_are_obeyed_or_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SessionKVSpec(config(8, None, **options))
