"""vLLM's flags as the user gave them, and ours where the user said nothing."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class FlagError(ValueError):
    """A flag that cannot be read. The message is one line."""


class Flags:
    """Arguments for `vllm serve`.

    Args:
        passed: what the user wrote, as words.

    Raises:
        FlagError: `--config` names a file that is not a YAML mapping.
    """

    def __init__(self, passed: Sequence[str]) -> None:
        self.words = list(passed)
        self._in_file = _read_config(self.value("config"))

    def value(self, name: str) -> str | None:
        """The last value of a flag on the command line, None where it stands there without one."""
        found = None
        for index, word in enumerate(self.words):
            flag, equals, value = word.partition("=")
            if _normal(flag) != name:
                continue
            following = self.words[index + 1 : index + 2]
            found = value if equals else (following[0] if following else None)
        return found

    def setting(self, name: str) -> Any:
        """A flag's value on the command line or in the file that `--config` names."""
        value = self.value(name)
        return self._in_file.get(name) if value is None else value

    def __contains__(self, name: str) -> bool:
        """Whether the user set a flag, or its `--no-` form, anywhere."""
        given = {_normal(word.partition("=")[0]) for word in self.words if word.startswith("-")}
        return bool({name, f"no-{name}"} & (given | self._in_file.keys()))

    def default(self, name: str, value: object = None) -> None:
        """Set a flag where the user did not; without a value it is a switch."""
        if name not in self:
            self.words += [f"--{name}"] if value is None else [f"--{name}", str(value)]

    def override(self, name: str, value: Mapping[str, Any]) -> None:
        """Set a flag that holds JSON, keeping what the user put into it besides.

        Raises:
            FlagError: the user's value is not a JSON object.
        """
        given = self.setting(name) or {}
        try:
            merged = {**(json.loads(given) if isinstance(given, str) else given), **value}
        except (TypeError, ValueError) as error:
            raise FlagError(f"--{name} must be a JSON object, not {given!r}") from error
        self.words += [f"--{name}", json.dumps(merged)]


def _normal(word: str) -> str:
    short = {"-tp": "tensor-parallel-size", "-pp": "pipeline-parallel-size"}
    return short.get(word, word.removeprefix("--").replace("_", "-"))


def _read_config(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise FlagError(f"--config {path} cannot be read as YAML") from error
    if not isinstance(content, dict):
        raise FlagError(f"--config {path} does not hold flags and values")
    return {str(key).replace("_", "-"): value for key, value in content.items()}
