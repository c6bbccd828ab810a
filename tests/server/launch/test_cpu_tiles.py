from pathlib import Path

from metacompress_server.launch.cpu_tiles import ask_for_tiles


def test_tiles_are_had_where_the_cpu_has_them() -> None:
    cpu = Path("/proc/cpuinfo")
    has_tiles = cpu.exists() and " amx_tile" in cpu.read_text()
    assert ask_for_tiles() == has_tiles
