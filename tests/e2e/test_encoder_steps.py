"""The scheduler's and a worker's half of the encoder-output tier, step by step.

In a process of its own: importing vLLM changes the process.
"""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PREAMBLE = """
from types import SimpleNamespace as Named
import torch
from vllm.distributed.ec_transfer.ec_connector.base import ECConnectorRole
from metacompress_server.engine import rpc
from metacompress_server.engine.encoder_cache import MetaCompressEncoderCache

transfer = Named(is_ec_producer=True, is_ec_consumer=True,
                 get_from_extra_config=lambda key, default: {"budget_bytes": 3 * 6 * 4 * 4}[key])
config = Named(
    ec_transfer_config=transfer,
    model_config=Named(get_hidden_size=lambda: 4, dtype=torch.float32),
    device_config=Named(device="cpu"),
    parallel_config=Named(tensor_parallel_size=2),
)
scheduler = MetaCompressEncoderCache(config, ECConnectorRole.SCHEDULER)
worker = MetaCompressEncoderCache(config, ECConnectorRole.WORKER)
on_device = {}


class Request:
    def __init__(self, name, *pictures):
        self.request_id = name
        self.mm_features = [Named(identifier=picture) for picture in pictures]

    def get_num_encoder_embeds(self, index):
        return 6


def step(*scheduled, preempted=()):
    loaded, encoded = [], {}
    for request in scheduled:
        for index, feature in enumerate(request.mm_features):
            if feature.identifier in on_device:
                continue
            if not scheduler.has_cache_item(feature.identifier):
                encoded.setdefault(request.request_id, []).append(index)
            scheduler.update_state_after_alloc(request, index)
    for name in preempted:
        encoded.pop(name)
    orders = scheduler.build_connector_meta(Named(scheduled_encoder_inputs=encoded))
    worker.bind_connector_metadata(orders)
    worker.start_load_caches(on_device)
    by_name = {request.request_id: request for request in scheduled}
    runs = [by_name[name].mm_features[i].identifier for name, idx in encoded.items() for i in idx]
    for picture in runs:
        on_device[picture] = torch.full((6, 4), float(ord(picture)))
        worker.save_caches(on_device, picture)
    return runs


def report():
    return rpc.registered("metacompress_cache_stats")()["encoder"]
"""

EVICTED = """
assert step(Request("1", "a", "b")) == ["a", "b"]
on_device.clear()
assert step(Request("2", "b", "c")) == ["c"]
assert torch.equal(on_device["b"], torch.full((6, 4), float(ord("b"))))
assert report() == {"hits": 1, "misses": 3, "evictions": 0, "bytes": 576, "budget_bytes": 576,
                    "pictures": 3}
"""

DROPPED = """
for number, picture in enumerate("abcd"):
    step(Request(str(number), picture))
assert sorted(worker._kept) == ["b", "c", "d"]
on_device.clear()
assert step(Request("5", "a")) == ["a"]
assert report()["evictions"] == 2
assert sorted(worker._kept) == ["a", "c", "d"]
"""

MORE_THAN_FITS = """
assert step(Request("1", *"abcde")) == list("abcde")
assert sorted(worker._kept) == ["c", "d", "e"]
on_device.clear()
assert step(Request("2", *"eab")) == ["a", "b"]
assert sorted(worker._kept) == sorted(p for p in "abcde" if scheduler.has_cache_item(p))
"""

PREEMPTED = """
assert step(Request("1", "a"), Request("2", "b"), preempted=["2"]) == ["a"]
assert not scheduler.has_cache_item("b")
assert step(Request("2", "b")) == ["b"]
on_device.clear()
assert step(Request("3", "b", "a")) == []
assert sorted(on_device) == ["a", "b"]
"""

A_COPY = """
step(Request("1", "a"))
on_device["a"].zero_()
on_device.clear()
step(Request("2", "a"))
assert float(on_device["a"].min()) == ord("a")
"""


@pytest.mark.parametrize(
    "story",
    [EVICTED, DROPPED, MORE_THAN_FITS, PREEMPTED, A_COPY],
    ids=["evicted", "dropped", "more than fits", "preempted", "a copy"],
)
def test_both_halves_agree(story: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PREAMBLE + story], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
