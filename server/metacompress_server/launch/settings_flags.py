"""The server's own settings as flags of `metacompress serve`, apart from those of vLLM."""

import argparse
import os
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from metacompress_server.settings import CONFIG, ServerSettings

_TITLE = "settings (or METACOMPRESS_<NAME> in the environment, or the YAML file)"


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Give a parser one option for each setting; what is not given stays out of the result."""
    group = parser.add_argument_group(_TITLE)
    for name, field in ServerSettings.model_fields.items():
        default = "" if field.default in (None, ()) else f" (default: {field.default})"
        help_text = f"{field.description}{default}".replace("%", "%%")
        if field.annotation is bool:
            group.add_argument(
                _flag(name),
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                help=help_text,
            )
        else:
            group.add_argument(
                _flag(name), metavar=_metavar(field), default=argparse.SUPPRESS, help=help_text
            )
    group.add_argument(
        "--metacompress-config", metavar="FILE", help="YAML file of these settings, by name"
    )


def split(
    parser: argparse.ArgumentParser, words: Sequence[str]
) -> tuple[str | None, dict[str, Any], list[str]]:
    """Part the words after `metacompress serve`.

    Returns:
        MODEL where the first word that is not ours is no flag, our settings by field name, and
        vLLM's words in their order. A file that `--metacompress-config` names goes into the
        environment.
    """
    known, passed = parser.parse_known_args([_dashed(word) for word in words])
    given = vars(known)
    if file := given.pop("metacompress_config"):
        os.environ[CONFIG] = file
    model = passed.pop(0) if passed and not passed[0].startswith("-") else None
    return model, given, passed


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _dashed(word: str) -> str:
    """`--max_pixels=1` as `--max-pixels=1`, where it is ours; vLLM takes both spellings too."""
    flag, equals, value = word.partition("=")
    name = flag.removeprefix("--").replace("-", "_").removeprefix("no_")
    ours = flag.startswith("--") and name in ServerSettings.model_fields
    return flag.replace("_", "-") + equals + value if ours else word


def _metavar(field: FieldInfo) -> str:
    kind = str(field.annotation)
    if get_origin(field.annotation) is Literal:
        return "|".join(get_args(field.annotation))
    for word, metavar in (("Path", "PATH"), ("float", "X"), ("int", "N"), ("tuple", "A,B")):
        if word in kind:
            return metavar
    return "DIR|none"
