"""The `metacompress` command: each subcommand imports what it needs when it runs."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from .launch.settings_flags import add_settings, split

_DESCRIPTION = """\
Serve and train MetaCompress: a picture's visual tokens are compressed once, by a learned mapping
that sees the picture alone, and every later turn of the dialogue reuses them.
"""

_OWN_OPTIONS = {
    "plan": ("metacompress_server.capacity.cli", "say how many picture dialogues a GPU holds"),
    "train": ("metacompress_compressor.training.cli", "train a compressor for a model"),
    "eval": ("metacompress_compressor.evaluation.cli", "measure compressors beside baselines"),
    "convert": ("metacompress_compressor.conversion.cli", "convert a data set to dialogues"),
    "inspect": ("metacompress_compressor.inspection.cli", "draw what is kept of a picture"),
}

_SERVE = """\
Start an OpenAI-compatible server (vLLM) that compresses pictures.

  metacompress serve                                   the embedded model and its compressor
  metacompress serve MODEL --compressor DIR            a LLaVA-1.5 checkpoint, an artifact for it
  metacompress serve MODEL --compressor none           the same model uncompressed
  metacompress serve --port 9000 --max-model-len 2048  any flag of `vllm serve` passes through

MODEL, a folder or a name on the Hugging Face hub, comes before the flags of vLLM; the flags
below may stand anywhere.
"""

_SERVE_END = """\
Everything else goes to `vllm serve`; `metacompress serve --help=all` lists its flags too. Where you
say nothing, the server listens on 127.0.0.1:8000, asks for no key, fetches no URL and shows cached
tokens in `usage`; on a machine without a GPU it also picks settings that start in seconds.
`metacompress check` with the same words tells what would happen, and starts nothing.
Exit status 2: settings or compressor make no sense; the reason is one line on stderr.
"""

_CHECK = """\
Tell whether `metacompress serve` with the same words would start: settings, keys, model and
compressor, memory of GPU and host, the port. Nothing is loaded and nothing is started.
"""

_CHECK_END = "Exit status 2: something stands against it; each reason is one line on stderr."

_OF_SERVER = {
    "serve": ("start the server", _SERVE, _SERVE_END),
    "check": ("tell whether the server would start", _CHECK, _CHECK_END),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand. Returns its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["serve"] and "--help=all" in arguments:
        return _help_with_vllm()
    parser, servers = _parser(arguments[0] if arguments else "")
    if arguments and arguments[0] in _OF_SERVER and not {"-h", "--help"} & set(arguments):
        return _run_server_command(arguments[0], *split(servers[arguments[0]], arguments[1:]))
    parsed = parser.parse_args(arguments)
    status: int = parsed.run(parsed)
    return status


def _parser(chosen: str) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The command's parser, and those of the subcommands that take vLLM's flags too."""
    parser = argparse.ArgumentParser(prog="metacompress", description=_DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    servers = {}
    for name, (purpose, description, end) in _OF_SERVER.items():
        servers[name] = commands.add_parser(
            name,
            help=purpose,
            description=description,
            epilog=end,
            usage=f"metacompress {name} [MODEL] [settings below] [any flag of vllm serve]",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        add_settings(servers[name])
    for name, (module, purpose) in _OWN_OPTIONS.items():
        command = commands.add_parser(name, help=purpose)
        if name == chosen:
            implementation = importlib.import_module(module)
            implementation.add_arguments(command)
            command.set_defaults(run=implementation.run)
    return parser, servers


def _run_server_command(
    name: str, model: str | None, given: dict[str, Any], passed: list[str]
) -> int:
    if name == "check":
        from .launch.check import check

        return check(model, given, passed)
    from .launch.launcher import launch

    return launch(model, given, passed)


def _help_with_vllm() -> int:
    from .launch.launcher import vllm_help

    _, servers = _parser("serve")
    servers["serve"].print_help()
    return vllm_help()


if __name__ == "__main__":
    sys.exit(main())
