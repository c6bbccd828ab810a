"""Sessions' KV outside the GPU: real servers whose cache holds a fraction of the sessions."""

import glob
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from many_sessions import Chats, Counters, Turn, held, kill_hard, wait_until_written
from PIL import Image
from running_server import ANSWER_S, RunningServer, Serve

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SESSIONS = 12
KEPT = 6
BLOCK_BYTES = 2 * 32 * 2 * 32 * 4
"""Two layers, 32 tokens, keys and values, one head of 32 numbers of float32."""

SMALL_CACHE = ["--kv-cache-memory-bytes", str(32 * BLOCK_BYTES), "--max-num-batched-tokens", "64"]
"""32 blocks: eight first turns, three third turns."""

KEYS = {"acme": "sk-acme-0123456789", "globex": "sk-globex-0123456789"}

Start = Callable[..., "RunningServer"]


@dataclass
class Outcome:
    """What a run of all sessions gave."""

    turns: list[Turn]
    first: dict[str, float]
    later: dict[str, float]


def hold_all(chats: Chats) -> Outcome:
    counters = Counters(chats.server)
    first_turns = chats.hold(SESSIONS, range(1))
    first = counters.moved()
    counters = Counters(chats.server)
    later_turns = chats.hold(SESSIONS, range(1, 3))
    return Outcome(first_turns + later_turns, first, counters.moved())


@pytest.fixture(scope="module")
def command(checkpoint: Path, kept: Path) -> list[str]:
    return ["serve", str(checkpoint), "--compressor", str(kept)]


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def chats_with(
    data_url: Callable[[Image.Image], str], picture: Callable[[int], Image.Image]
) -> Callable[..., Chats]:
    return lambda server, key=None: Chats(server, data_url, picture, key)


def tiers(state_dir: Path) -> list[str]:
    return [
        *("--session-kv-gib", "0.05", "--session-disk-gib", "0.05"),
        *("--state-dir", str(state_dir)),
    ]


@pytest.fixture(scope="module")
def without_tiers(
    command: list[str], serve_logged: Serve, chats_with: Callable[..., Chats]
) -> Outcome:
    with serve_logged([*command, "--session-kv-gib", "0"], SMALL_CACHE) as running:
        return hold_all(chats_with(running))


@pytest.fixture(scope="module")
def tiered(command: list[str], serve_logged: Serve, state_dir: Path) -> Iterator[RunningServer]:
    with serve_logged([*command, *tiers(state_dir)], SMALL_CACHE) as running:
        yield running


@pytest.fixture(scope="module")
def with_tiers(tiered: RunningServer, chats_with: Callable[..., Chats]) -> Outcome:
    return hold_all(chats_with(tiered))


def test_later_turns_run_no_tower_and_compute_no_visual_token_again(with_tiers: Outcome) -> None:
    assert with_tiers.first["tower_runs"] == SESSIONS
    assert with_tiers.later["tower_runs"] == 0
    assert with_tiers.later["pictures_in_prefix"] == 2 * SESSIONS
    assert with_tiers.later["host_tokens"] > 0
    for turn, before in zip(with_tiers.turns[SESSIONS:], with_tiers.turns, strict=False):
        assert turn.cached > before.prompt - 32  # all whole blocks of what was asked before


def test_without_the_tiers_the_same_turns_compute_everything_again(
    without_tiers: Outcome, with_tiers: Outcome
) -> None:
    print(f"later turns without tiers {without_tiers.later}, with tiers {with_tiers.later}")
    assert without_tiers.later["pictures_in_prefix"] == 0
    assert without_tiers.later["host_tokens"] == without_tiers.later["disk_tokens"] == 0
    assert all(turn.cached < KEPT for turn in without_tiers.turns[SESSIONS:])


def test_answers_are_the_same_with_and_without_tiers(
    without_tiers: Outcome, with_tiers: Outcome
) -> None:
    assert [turn.tokens for turn in with_tiers.turns] == [
        turn.tokens for turn in without_tiers.turns
    ]


def test_delete_frees_the_bytes_of_one_session_in_both_tiers(
    tiered: RunningServer, with_tiers: Outcome
) -> None:
    wait_until_written(tiered)
    before = {tier: held(tiered, tier) for tier in ("host", "disk")}
    answer = httpx.delete(f"{tiered.url}/v1/sessions/session-0", timeout=ANSWER_S)
    freed = answer.raise_for_status().json()["freed_bytes"]
    after = {tier: held(tiered, tier) for tier in ("host", "disk")}
    assert freed == sum(before.values()) - sum(after.values())
    assert all(before[tier] - after[tier] >= 11 * BLOCK_BYTES for tier in before)
    assert tiered.get("/v1/sessions/session-0").status_code == httpx.codes.NOT_FOUND


class TestAfterACrash:
    """Kill -9, damage to the files of two sessions, and a new server over the same folder."""

    @pytest.fixture(scope="class")
    def damaged(self, tiered: RunningServer, with_tiers: Outcome, state_dir: Path) -> list[Path]:
        """The first file is cut, the second has a bit flipped."""
        wait_until_written(tiered)
        kill_hard(tiered)
        by_session: dict[str, list[Path]] = {}
        for name in glob.glob(f"{state_dir}/session-kv/*/blocks/*/*"):
            header = Path(name).read_bytes()[:400]
            if b'"position": 32,' in header:
                group = header.split(b'"group": "')[1].split(b'"')[0].decode()
                by_session.setdefault(group, []).append(Path(name))
        cut, flipped = (paths[0] for paths in list(by_session.values())[:2])
        cut.write_bytes(cut.read_bytes()[:-100])
        content = bytearray(flipped.read_bytes())
        content[-100] ^= 1
        flipped.write_bytes(content)
        return [cut, flipped]

    @pytest.fixture(scope="class")
    def restarted(
        self, command: list[str], serve_logged: Serve, state_dir: Path, damaged: list[Path]
    ) -> Iterator[RunningServer]:
        with serve_logged([*command, *tiers(state_dir)], SMALL_CACHE) as running:
            yield running

    @pytest.fixture(scope="class")
    def resumed(self, restarted: RunningServer, chats_with: Callable[..., Chats]) -> Outcome:
        """The third turn of every session that is left."""
        counters = Counters(restarted)
        chats = chats_with(restarted)
        turns = [chats.ask(session, 2) for session in range(1, SESSIONS)]
        return Outcome(turns, {}, counters.moved())

    def test_sessions_go_on_without_encoding_their_pictures_again(self, resumed: Outcome) -> None:
        intact = SESSIONS - 1 - 2
        assert resumed.later["tower_runs"] == 2
        assert resumed.later["pictures_in_prefix"] == intact
        assert resumed.later["disk_tokens"] > 0
        assert sum(turn.cached > turn.prompt - 64 for turn in resumed.turns) == intact

    def test_answers_are_the_same(self, resumed: Outcome, with_tiers: Outcome) -> None:
        expected = with_tiers.turns[-SESSIONS:][1:]
        assert [turn.tokens for turn in resumed.turns] == [turn.tokens for turn in expected]

    def test_damaged_files_were_replaced_by_good_ones(
        self, restarted: RunningServer, resumed: Outcome, damaged: list[Path]
    ) -> None:
        wait_until_written(restarted)
        for path in damaged:
            assert path.stat().st_size > BLOCK_BYTES


class TestTwoTenants:
    """The same picture, the same words, the same session id: nothing is shared, nothing shows."""

    @pytest.fixture(scope="class")
    def guarded(self, command: list[str], serve_logged: Serve) -> Iterator[RunningServer]:
        pairs = ",".join(f"{tenant}={key}" for tenant, key in KEYS.items())
        flags = [*command, "--session-kv-gib", "0.05"]
        with serve_logged(
            flags, SMALL_CACHE, environment={"METACOMPRESS_API_KEYS": pairs}
        ) as running:
            yield running

    def test_no_tenant_finds_anothers_blocks(
        self, guarded: RunningServer, chats_with: Callable[..., Chats]
    ) -> None:
        acme, globex = (chats_with(guarded, KEYS[tenant]) for tenant in KEYS)
        first = acme.ask(0, 0, "ours")
        for session in range(1, SESSIONS):
            acme.ask(session, 0)  # the GPU forgets the first session; the host does not
        counters = Counters(guarded)
        other = globex.ask(0, 0, "ours")
        moved = counters.moved()
        assert other.tokens == first.tokens
        assert other.cached == 0
        assert (moved["tower_runs"], moved["host_tokens"]) == (1, 0)
        again = acme.ask(0, 0, "ours")
        assert again.cached > 0
        assert counters.moved()["host_tokens"] > 0

    def test_deleting_ones_session_leaves_the_others(
        self, guarded: RunningServer, chats_with: Callable[..., Chats]
    ) -> None:
        acme, globex = (chats_with(guarded, KEYS[tenant]) for tenant in KEYS)
        acme.ask(20, 0, "same")
        globex.ask(20, 0, "same")
        headers = {"Authorization": f"Bearer {KEYS['globex']}"}
        url = f"{guarded.url}/v1/sessions/same"
        freed = httpx.delete(url, headers=headers, timeout=ANSWER_S).json()["freed_bytes"]
        assert freed >= 3 * BLOCK_BYTES
        for session in range(21, 21 + SESSIONS):
            acme.ask(session, 0)
        assert acme.ask(20, 0, "same").cached > 0
        assert globex.ask(20, 0, "same").cached == 0


def test_two_workers_keep_their_halves_together(
    command: list[str],
    serve_logged: Serve,
    state_dir: Path,
    chats_with: Callable[..., Chats],
    without_tiers: Outcome,
) -> None:
    """Each rank's part of a block lies in one row of the host's memory, and in one file."""
    flags = [*SMALL_CACHE, "--tensor-parallel-size", "2"]
    environment = {"VLLM_CPU_OMP_THREADS_BIND": "0|1"}
    folder = state_dir / "two-workers"
    with serve_logged([*command, *tiers(folder)], flags, environment=environment) as running:
        outcome = hold_all(chats_with(running))
    assert (outcome.first["tower_runs"], outcome.later["tower_runs"]) == (SESSIONS, 0)
    assert outcome.later["pictures_in_prefix"] == 2 * SESSIONS
    assert [turn.tokens for turn in outcome.turns] == [turn.tokens for turn in without_tiers.turns]
