"""Runs `vllm serve` in this process, with every flag of vLLM's."""

from collections.abc import Sequence


def run(arguments: Sequence[str]) -> None:
    """Parse and validate as `vllm serve` does, then serve until stopped.

    Args:
        arguments: the words after `vllm serve`.
    """
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.entrypoints.serve.utils.api_utils import cli_env_setup
    from vllm.logger import configure_logging_from_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    cli_env_setup()
    parser = FlexibleArgumentParser(prog="metacompress")
    command = ServeSubcommand()
    command.subparser_init(parser.add_subparsers(dest="subparser"))
    parsed = parser.parse_args(["serve", *arguments])
    configure_logging_from_args(parsed)
    command.validate(parsed)
    command.cmd(parsed)
