import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

Documents = dict[tuple[str, str], dict[str, Any]]
"""What the chart makes, by kind and name."""

SEVERAL = {
    "replicas": 3,
    "router": {"enabled": True},
    "gpu": {"count": 2},
    "model": {"path": "llava", "compressor": "half", "extraArgs": ["--max-model-len", "4096"]},
    "weights": {"existingClaim": "weights"},
    "monitoring": {"serviceMonitor": True, "prometheusRule": True, "grafanaDashboard": True},
}


@pytest.fixture(scope="module")
def folder(deploy) -> Path:
    return deploy / "helm/metacompress"


@pytest.fixture(scope="module")
def render(folder) -> Callable[..., Documents]:
    def make(values: dict[str, Any] | None = None) -> Documents:
        with helm_python.Chart.load(str(folder)) as chart:
            files = chart.render(values or {}, name="demo", namespace="prod")
        documents = [
            document
            for name, text in files.items()
            if name.endswith(".yaml")
            for document in yaml.safe_load_all(text)
            if document
        ]
        return {(one["kind"], one["metadata"]["name"]): one for one in documents}

    return make


def pod(documents: Documents) -> dict[str, Any]:
    spec: dict[str, Any] = documents["StatefulSet", "demo-metacompress"]["spec"]["template"]["spec"]
    return spec


def server(documents: Documents) -> dict[str, Any]:
    (container,) = pod(documents)["containers"]
    assert isinstance(container, dict)
    return container


def test_helm_finds_nothing_to_complain_about(folder):
    report = helm_python.lint(str(folder))
    assert report["errors"] == []
    assert [m["error"] for m in report["messages"]] == ["icon is recommended"]


def test_a_model_gets_ten_minutes_to_start(render):
    probe = server(render())["startupProbe"]
    assert (probe["periodSeconds"], probe["failureThreshold"]) == (10, 60)
    assert probe["httpGet"]["path"] == "/health"


@pytest.mark.parametrize("count", [1, 4])
def test_gpus_are_requested_and_limited_alike(render, count):
    resources = server(render({"gpu": {"count": count}}))["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == str(count)
    assert resources["limits"]["nvidia.com/gpu"] == str(count)


def test_a_replica_without_gpus_asks_for_none(render):
    resources = server(render({"gpu": {"count": 0}}))["resources"]
    assert "nvidia.com/gpu" not in json.dumps(resources)


def test_several_gpus_share_the_model(render):
    assert server(render(SEVERAL))["args"] == [
        *("/models/llava", "--compressor", "/models/half", "--tensor-parallel-size", "2"),
        *("--max-model-len", "4096"),
    ]


def test_shared_memory_is_memory_and_the_rest_of_the_root_cannot_be_written(render):
    documents = render()
    volumes = {volume["name"]: volume for volume in pod(documents)["volumes"]}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
    security = server(documents)["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert pod(documents)["securityContext"]["runAsNonRoot"]
    mounts = {mount["mountPath"] for mount in server(documents)["volumeMounts"]}
    assert mounts == {"/dev/shm", "/home/metacompress", "/tmp", "/state"}


def test_openshift_chooses_the_user_itself(render):
    assert pod(render())["securityContext"]["runAsUser"] == 10001
    security = pod(render({"openshift": True}))["securityContext"]
    assert set(security) == {"runAsNonRoot", "seccompProfile"}


def test_weights_come_from_a_claim_and_are_not_written(render):
    documents = render({"weights": {"create": True, "size": "10Gi"}})
    claim = documents["PersistentVolumeClaim", "demo-metacompress-weights"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"
    (mount,) = (m for m in server(documents)["volumeMounts"] if m["name"] == "weights")
    assert mount["readOnly"]


def test_keys_are_a_mounted_secret_and_never_in_the_environment(render):
    documents = render({"auth": {"keys": "tenants: []\n"}})
    secret = documents["Secret", "demo-metacompress-keys"]
    assert secret["stringData"]["keys.yaml"] == "tenants: []\n"
    environment = {e["name"]: e["value"] for e in server(documents)["env"]}
    assert environment["METACOMPRESS_API_KEYS_FILE"] == "/keys/keys.yaml"
    (mount,) = (m for m in server(documents)["volumeMounts"] if m["name"] == "keys")
    assert mount["mountPath"] == "/keys"
    existing = render({"auth": {"existingSecret": "mine"}})
    assert not [kind for kind, _ in existing if kind == "Secret"]
    (volume,) = (v for v in pod(existing)["volumes"] if v["name"] == "keys")
    assert volume["secret"]["secretName"] == "mine"


def test_settings_are_the_servers_and_large_numbers_stay_numbers(render):
    from metacompress_server.settings import ServerSettings

    given = {"max_pixels": 40_000_000, "session_kv_share": 0.5, "require_key_for_metrics": True}
    environment = {e["name"]: e["value"] for e in server(render({"settings": given}))["env"]}
    for name, value in given.items():
        assert name in ServerSettings.model_fields
        text = environment[f"METACOMPRESS_{name.upper()}"]
        assert ServerSettings(**{name: text}).model_dump()[name] == value


def test_what_the_chart_sets_itself_are_settings_of_the_server(render):
    from metacompress_server.settings import ServerSettings

    documents = render({"auth": {"existingSecret": "mine"}})
    names = [e["name"] for e in server(documents)["env"] if e["name"].startswith("METACOMPRESS_")]
    assert names
    for name in names:
        assert name.removeprefix("METACOMPRESS_").lower() in ServerSettings.model_fields


def test_the_router_knows_every_replica_by_a_name_that_stays(render):
    documents = render(SEVERAL)
    (router,) = documents["Deployment", "demo-metacompress-router"]["spec"]["template"]["spec"][
        "containers"
    ]
    headless = documents["Service", "demo-metacompress-replicas"]
    assert headless["spec"]["clusterIP"] == "None"
    replicas = documents["StatefulSet", "demo-metacompress"]["spec"]
    assert replicas["serviceName"] == headless["metadata"]["name"]
    assert router["args"] == [
        f"http://demo-metacompress-{i}.demo-metacompress-replicas.prod.svc:8000" for i in range(3)
    ]


def test_clients_reach_the_router_where_there_is_one(render):
    def target(documents: Documents) -> str:
        selector: dict[str, str] = documents["Service", "demo-metacompress"]["spec"]["selector"]
        return selector["app.kubernetes.io/component"]

    assert target(render()) == "server"
    assert target(render(SEVERAL)) == "router"


def test_with_a_router_nobody_else_but_prometheus_reaches_a_replica(render):
    policy = render(SEVERAL)["NetworkPolicy", "demo-metacompress"]["spec"]
    (rule,) = policy["ingress"]
    pods, monitoring = rule["from"]
    assert pods["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "router"
    assert "namespaceSelector" in monitoring
    assert policy["egress"] == [
        {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    ]


def test_selectors_find_the_pods_that_they_mean(render):
    documents = render(SEVERAL)
    for kind, name in [
        ("StatefulSet", "demo-metacompress"),
        ("Deployment", "demo-metacompress-router"),
    ]:
        spec = documents[kind, name]["spec"]
        labels = spec["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()
    pods = documents["StatefulSet", "demo-metacompress"]["spec"]["template"]["metadata"]["labels"]
    budget = documents["PodDisruptionBudget", "demo-metacompress"]["spec"]
    assert budget["selector"]["matchLabels"].items() <= pods.items()
    assert budget["maxUnavailable"] == 1
    monitor = documents["ServiceMonitor", "demo-metacompress"]["spec"]
    service = documents["Service", "demo-metacompress-replicas"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= service.items()
    assert monitor["endpoints"][0]["relabelings"][0]["replacement"] == "metacompress"


def test_rules_and_dashboard_are_those_of_the_repository(render, deploy):
    documents = render(SEVERAL)
    groups = documents["PrometheusRule", "demo-metacompress"]["spec"]["groups"]
    files = sorted((deploy / "prometheus/rules").glob("*.yml"))
    assert groups == [
        group for file in files for group in yaml.safe_load(file.read_text())["groups"]
    ]
    dashboard = documents["ConfigMap", "demo-metacompress-dashboard"]["data"]["metacompress.json"]
    committed = (deploy / "grafana/dashboards/metacompress.json").read_text()
    assert json.loads(dashboard) == json.loads(committed)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replicas": 2}, "router.enabled"),
        ({"model": {"path": "llava"}}, "model.compressor"),
        ({"model": {"path": "llava", "compressor": "none"}}, "weights"),
        ({"auth": {"keys": "a", "existingSecret": "b"}}, "exclude each other"),
        ({"gpus": 1}, "gpus"),
        ({"gpu": {"count": -1}}, "minimum"),
        ({"model": {"path": "/etc"}}, "pattern"),
        ({"image": {"repository": "m", "digest": "latest"}}, "pattern"),
        ({"settings": {"state_dir": "/x"}}, "state_dir"),
        ({"shm": {"size": "lots"}}, "pattern"),
    ],
)
def test_values_that_make_no_sense_are_refused(render, values, complaint):
    with pytest.raises(helm_python.HelmError, match=complaint):
        render(values)


def test_an_image_can_be_pinned_by_digest(render):
    digest = "sha256:" + "0" * 64
    container = server(render({"image": {"repository": "registry.example/m", "digest": digest}}))
    assert container["image"] == f"registry.example/m@{digest}"
