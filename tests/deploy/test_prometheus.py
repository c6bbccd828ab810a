import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is missing: apt-get install prometheus, then make check-rules",
)


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(deploy):
    return deploy / "prometheus"


@pytest.fixture(scope="module")
def alerts(folder):
    groups = yaml.safe_load((folder / "rules/alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@needs_promtool
def test_configuration_and_rules_are_valid(folder):
    result = promtool("check", "config", folder / "prometheus.yml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 rule files found" in result.stdout


@needs_promtool
@pytest.mark.parametrize("name", ["operation", "savings"])
def test_rules_say_what_they_should(folder, name):
    result = promtool("test", "rules", folder / f"tests/{name}.yml")
    assert result.returncode == 0, result.stdout + result.stderr


@needs_promtool
def test_a_wrong_threshold_would_be_noticed(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "prometheus")
    rules = tmp_path / "prometheus/rules/alerts.yml"
    rules.write_text(rules.read_text().replace("ratio_rate5m > 0.2", "ratio_rate5m > 0.9"))
    assert promtool("test", "rules", tmp_path / "prometheus/tests/savings.yml").returncode == 1


def test_every_alert_has_a_unit_test(folder, alerts):
    tested = set()
    for path in (folder / "tests").glob("*.yml"):
        for case in yaml.safe_load(path.read_text())["tests"]:
            tested |= {
                test["alertname"] for test in case.get("alert_rule_test", []) if test["exp_alerts"]
            }
    assert tested == {rule["alert"] for rule in alerts}


def test_every_alert_says_how_bad_it_is_and_names_what_it_is_about(alerts):
    for rule in alerts:
        assert rule["labels"]["severity"] in {"warning", "critical"}, rule["alert"]
        assert "{{ " in rule["annotations"]["summary"], rule["alert"]


def test_recording_rules_are_named_level_metric_operation(folder):
    groups = yaml.safe_load((folder / "rules/recording.yml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        assert re.fullmatch(r"[a-z_]+:[a-z0-9_]+:[a-z0-9_]+", rule["record"])


def test_compose_replaces_a_file_that_the_configuration_names(folder):
    jobs = yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"]
    files = [name for job in jobs for sd in job.get("file_sd_configs", []) for name in sd["files"]]
    assert files == ["targets/server.yml", "targets/router.yml"]
    assert all((folder / name).is_file() for name in files)
