"""When the launcher turns the session tiers on, and what it refuses."""

from pathlib import Path

import pytest

from metacompress_server.launch import session_tier as module
from metacompress_server.launch.flags import Flags
from metacompress_server.launch.session_tier import GIB, SessionTierError, session_tier
from metacompress_server.settings import ServerSettings


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_free_memory", lambda: 80 * GIB)
    monkeypatch.setattr(module, "_free_shared_memory", lambda: 40 * GIB)


def size(settings: ServerSettings, *flags: str) -> int:
    config = session_tier(settings, Flags(flags)).config
    assert config is not None
    return config["kv_connector_extra_config"]["cpu_bytes_to_use"]


def test_on_by_default_and_as_large_as_the_cache_above() -> None:
    assert size(ServerSettings()) == 10 * GIB
    assert size(ServerSettings(), "--kv-cache-memory-bytes", str(GIB)) == GIB


def test_the_default_leaves_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_free_shared_memory", lambda: GIB)
    assert size(ServerSettings()) == GIB // 2
    monkeypatch.setattr(module, "_free_shared_memory", lambda: 32 << 20)
    tier = session_tier(ServerSettings(), Flags([]))
    assert tier.config is None
    assert "too little memory" in tier.line


def test_settings_reach_the_connector() -> None:
    settings = ServerSettings(
        session_kv_gib=2,
        session_kv_share=0.5,
        session_ttl_s=60,
        session_disk_gib=3,
        state_dir="/var/state",
    )
    extra = session_tier(settings, Flags([])).config["kv_connector_extra_config"]
    assert extra["cpu_bytes_to_use"] == 2 * GIB
    assert extra["session_share"] == 0.5
    assert extra["session_ttl_s"] == 60
    assert extra["session_disk_bytes"] == 3 * GIB
    assert Path(extra["session_state_dir"]) == Path("/var/state")
    assert extra["offload_prompt_only"] is False


def test_replicas_share_the_budget() -> None:
    settings = ServerSettings(session_kv_gib=4)
    assert size(settings, "--data-parallel-size", "4") == GIB


def test_zero_is_off() -> None:
    assert session_tier(ServerSettings(session_kv_gib=0), Flags([])).config is None


OBSTACLES = [
    ["--kv-transfer-config", "{}"],
    ["--kv-offloading-size", "4"],
    ["--no-enable-prefix-caching"],
    ["--nnodes", "2"],
    ["--prefix-caching-hash-algo", "xxhash"],
]


@pytest.mark.parametrize("flags", OBSTACLES, ids=" ".join)
def test_what_stands_in_the_way_turns_the_default_off_in_words(flags: list[str]) -> None:
    tier = session_tier(ServerSettings(), Flags(flags))
    assert tier.config is None
    assert flags[0] in tier.line


@pytest.mark.parametrize("flags", OBSTACLES, ids=" ".join)
def test_what_was_asked_for_is_refused_rather_than_ignored(flags: list[str]) -> None:
    with pytest.raises(SessionTierError, match=flags[0]):
        session_tier(ServerSettings(session_kv_gib=1), Flags(flags))


def test_a_disk_tier_needs_the_host_tier() -> None:
    settings = ServerSettings(session_kv_gib=0, session_disk_gib=1, state_dir="/var/state")
    with pytest.raises(SessionTierError, match="session-kv-gib"):
        session_tier(settings, Flags([]))


def test_free_memory_is_what_the_system_can_still_give(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    assert module._free_memory() > 0
    assert module._free_shared_memory() > 0
    monkeypatch.setattr(module, "_MEMORY", tmp_path / "missing")
    monkeypatch.setattr(module, "_SHARED_MEMORY", tmp_path / "missing")
    assert module._free_memory() == module._free_shared_memory() == 0
