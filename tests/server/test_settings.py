from pathlib import Path

import pytest

from metacompress_server.settings import CONFIG, EXPORTED, ServerSettings, SettingsError


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (CONFIG, EXPORTED):
        monkeypatch.delenv(name, raising=False)


def test_flags_beat_the_environment_beats_the_file_beats_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("session_ttl_s: 1\nmax_messages: 2\nmax_choices: 3\n")
    monkeypatch.setenv(CONFIG, str(file))
    monkeypatch.setenv("METACOMPRESS_SESSION_TTL_S", "10")
    monkeypatch.setenv("METACOMPRESS_MAX_MESSAGES", "20")
    settings = ServerSettings.read({"session_ttl_s": "100"})
    assert (settings.session_ttl_s, settings.max_messages, settings.max_choices) == (100, 20, 3)
    assert settings.max_images_per_request == 16


def test_every_bad_value_is_named_in_one_line() -> None:
    with pytest.raises(SettingsError) as refused:
        ServerSettings.read({"retention": "2", "session_kv_gib": "-1", "max_pixels": "many"})
    message = str(refused.value)
    assert "\n" not in message
    for flag in ("--retention 2", "--session-kv-gib -1", "--max-pixels many"):
        assert flag in message


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"session_disk_gib": 1}, "--state-dir"),
        ({"compressor": "none", "retention": 0.1}, "--retention"),
        ({"compressor": "none", "serve_uncompressed": True}, "--serve-uncompressed"),
        ({"compressor": "none", "bypass_share": 0.1}, "--bypass-share"),
        ({"bypass_share": 1.0}, "--bypass-share"),
        ({"allowed_image_hosts": "*.example.org"}, "exact host"),
        ({"allowed_image_hosts": "https://example.org"}, "exact host"),
        ({"allowed_image_hosts": "127.0.0.1"}, "exact host"),
        ({"allowed_image_hosts": "a.0x7f000001"}, "exact host"),
        ({"allowed_image_hosts": "localhost"}, "exact host"),
        ({"allowed_image_hosts": 3}, "--allowed-image-hosts"),
    ],
)
def test_settings_that_do_not_go_together(flags: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        ServerSettings.read(flags)


@pytest.mark.parametrize("content", ["- a list", "{broken", "no_such: 1", None])
def test_a_file_that_says_nothing_we_know(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "settings.yaml"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv(CONFIG, str(file))
    with pytest.raises(SettingsError, match=r"settings\.yaml"):
        ServerSettings.read()


def test_hosts_are_a_list_by_comma() -> None:
    settings = ServerSettings.read({"allowed_image_hosts": "A.example, b.example,"})
    assert settings.allowed_image_hosts == ("a.example", "b.example")


def test_every_process_sees_what_the_launcher_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(EXPORTED, "")
    read = ServerSettings.read({"state_dir": tmp_path, "allowed_image_hosts": "a.example"})
    read.export()
    monkeypatch.setenv("METACOMPRESS_MAX_CHOICES", "99")
    assert ServerSettings.current() == read


def test_without_a_launcher_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METACOMPRESS_MAX_CHOICES", "7")
    assert ServerSettings.current().max_choices == 7


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        ServerSettings.read().max_choices = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "flags",
    [
        {"session_ttl_s": 0},
        {"max_sessions_per_tenant": 0},
        {"max_images_per_session": 0},
        {"max_turns_per_session": 0},
        {"max_files_per_tenant": -1},
        {"max_files_mib_per_tenant": -1},
        {"file_ttl_s": 0},
    ],
)
def test_limits_of_sessions_and_files_have_a_range(flags: dict[str, object]) -> None:
    (name,) = flags
    with pytest.raises(SettingsError, match=f"--{name.replace('_', '-')}"):
        ServerSettings.read(flags)
