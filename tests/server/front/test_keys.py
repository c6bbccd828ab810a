import hashlib
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from metacompress_server.front.keys import KEYS_VARIABLE, KeyRing, KeysError
from metacompress_server.settings import ServerSettings


@pytest.fixture(autouse=True)
def no_keys_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)


def ring(file: Path | None = None, *extra: str, **given: Any) -> KeyRing:
    return KeyRing(ServerSettings.read({"api_keys_file": file, **given}), extra)


def name_of(keys: KeyRing, key: str) -> str | None:
    tenant = keys.tenant_of(f"Bearer {key}")
    return tenant and tenant.name


def write(path: Path, text: str, age: int = 0) -> Path:
    """A file with a time stamp of its own, however fast the test writes it twice."""
    path.write_text(text)
    os.utime(path, ns=(age, age))
    return path


def test_without_keys_nothing_is_guarded_and_no_key_fits() -> None:
    assert not ring().guards
    assert ring().tenant_of("Bearer anything") is None


def test_keys_of_the_environment_and_of_vllms_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, "acme=acme-secret,plain-secret")
    keys = ring(None, "flag-secret")
    found = [name_of(keys, key) for key in ("acme-secret", "plain-secret", "flag-secret", "x")]
    assert found == ["acme", "default", "default", None]


def test_keys_of_a_file_with_limits_and_digests(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"hashed-secret").hexdigest()
    file = write(
        tmp_path / "keys.yaml",
        f"tenants:\n  a: {{keys: [plain-secret], keys_sha256: [{digest}], max_requests: 3}}\n",
    )
    keys = ring(file, max_sessions_per_tenant=7)
    tenant = keys.tenant_of("bearer hashed-secret")
    assert tenant is not None
    assert (tenant.name, tenant.max_requests, tenant.max_sessions) == ("a", 3, 7)
    assert name_of(keys, "plain-secret") == "a"
    assert name_of(keys, digest) is None


def test_a_file_without_tenants_lets_nobody_in(tmp_path: Path) -> None:
    keys = ring(write(tmp_path / "keys.yaml", "tenants: {}"))
    assert keys.guards
    assert name_of(keys, "anything") is None


def test_a_changed_file_counts_at_once(tmp_path: Path) -> None:
    file = write(tmp_path / "keys.yaml", "tenants: {a: {keys: [first-secret]}}", age=1)
    keys = ring(file)
    write(file, "tenants: {b: {keys: [second-secret]}}", age=2)
    assert name_of(keys, "first-secret") is None
    assert name_of(keys, "second-secret") == "b"


def test_a_change_that_makes_no_sense_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write(tmp_path / "keys.yaml", "tenants: {a: {keys: [first-secret]}}", age=1)
    keys = ring(file)
    logger = logging.getLogger("vllm.metacompress")
    logger.addHandler(caplog.handler)
    write(file, "tenants: {b: {keys: [short]}}", age=2)
    assert name_of(keys, "first-secret") == "a"
    file.unlink()
    assert name_of(keys, "first-secret") == "a"
    logger.removeHandler(caplog.handler)
    assert "stay as they were" in caplog.text
    assert "short" not in caplog.text.replace("characters", "")


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{broken",
        "tenants: []",
        "tenants: {a: {keys: [first-secret]}}\nother: 1",
        "tenants: {a: {}}",
        "tenants: {a: {keys: first-secret}}",
        "tenants: {a: {keys: [12345678]}}",
        "tenants: {a: {keys: [short]}}",
        "tenants: {a: {keys_sha256: [abc]}}",
        "tenants: {a b: {keys: [first-secret]}}",
        "tenants: {a: {keys: [first-secret], max_requests: many}}",
        "tenants: {a: {keys: [first-secret], max_requests: true}}",
        "tenants: {a: {keys: [first-secret], max_everything: 1}}",
        "tenants: {a: {keys: [first-secret]}, b: {keys: [first-secret]}}",
    ],
)
def test_a_file_that_makes_no_sense_is_named_without_its_keys(tmp_path: Path, content: str) -> None:
    file = write(tmp_path / "keys.yaml", content)
    with pytest.raises(KeysError, match=r"keys\.yaml") as refused:
        ring(file)
    assert "first-secret" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="gone"):
        ring(tmp_path / "gone.yaml")


@pytest.mark.parametrize("value", ["short", "a b=long-enough", "=long-enough", "a=short"])
def test_a_variable_that_makes_no_sense(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, value)
    with pytest.raises(KeysError, match=KEYS_VARIABLE):
        ring()
