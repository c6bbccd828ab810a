"""The audit says what it found, and says as plainly that it could find out nothing."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "audit_report.py"


def audit(folder: Path, *packages: dict[str, Any]) -> int:
    (folder / "cpu.json").write_text(json.dumps({"dependencies": packages}))
    status: int = runpy.run_path(str(SCRIPT))["main"](folder)
    return status


def test_a_vulnerable_package_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    advisory = {"id": "PYSEC-1", "fix_versions": ["2.0"]}
    package = {"name": "pillow", "version": "1.0", "vulns": [advisory]}
    assert audit(tmp_path, package, {"name": "x", "skip_reason": "gone"}) == 1
    assert "pillow 1.0: PYSEC-1 (fixed in 2.0)" in capsys.readouterr().out


def test_a_clean_set(tmp_path: Path) -> None:
    assert audit(tmp_path, {"name": "pillow", "version": "1.0", "vulns": []}) == 0


def test_nobody_could_be_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(tmp_path, {"name": "pillow", "skip_reason": "not found"}) == 3
    assert "NOT AUDITED" in capsys.readouterr().out
    (tmp_path / "cpu.json").unlink()
    assert runpy.run_path(str(SCRIPT))["main"](tmp_path) == 3
    assert "NOTHING WAS AUDITED" in capsys.readouterr().out
