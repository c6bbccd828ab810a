import json
import os
from pathlib import Path

import pytest

FILES = {"cpu": ["compose.yaml"], "gpu": ["compose.yaml", "compose.gpu.yaml"]}


@pytest.fixture(scope="module")
def config(tool, deploy):
    """What Docker Compose itself makes of the files."""

    def read(kind: str, **environment: str) -> dict:
        words = [word for name in FILES[kind] for word in ("--file", deploy / name)]
        env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment}
        result = tool("docker-compose", *words, "config", "--format", "json", env=env)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    return read


@pytest.mark.parametrize("kind", FILES)
def test_all_three_services_are_hardened_and_only_this_machine_reaches_them(config, kind):
    services = config(kind)["services"]
    assert set(services) == {"metacompress", "prometheus", "grafana"}
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {port["host_ip"] for port in service["ports"]} == {"127.0.0.1"}, name


def test_without_variables_the_embedded_model_is_served(config):
    server = config("cpu")["services"]["metacompress"]
    assert not server["command"]
    assert server["build"]["args"]["DEVICE"] == "cpu"


def test_variables_become_arguments(config):
    server = config("gpu", MODEL="llava", COMPRESSOR="half", MODELS="/somewhere")["services"][
        "metacompress"
    ]
    assert server["command"] == ["/models/llava", "--compressor", "/models/half"]
    assert ("/somewhere", "/models") in [(v["source"], v["target"]) for v in server["volumes"]]
    (device,) = server["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert server["build"]["args"]["DEVICE"] == "cuda"


def test_mounted_files_exist_and_are_where_the_configurations_look(config, deploy):
    services = config("cpu")["services"]
    mounts = {
        mount["target"]: Path(mount["source"])
        for name in ("prometheus", "grafana")
        for mount in services[name]["volumes"]
        if mount["type"] == "bind"
    }
    assert all(source.exists() for source in mounts.values())
    assert mounts["/etc/prometheus/targets/server.yml"].read_text().count("metacompress:8000") == 1
    provider = (deploy / "grafana/provisioning/dashboards/metacompress.yaml").read_text()
    assert "path: /var/lib/grafana/dashboards" in provider
    assert (mounts["/var/lib/grafana/dashboards"] / "metacompress.json").is_file()
    assert services["grafana"]["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"
