"""`metacompress inspect`: draw what a compressor keeps of one picture."""

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `metacompress inspect` to `parser`."""
    parser.add_argument("--image", type=Path, required=True, help="picture to look at")
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--compressor", type=Path, required=True, help="artifact folder")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument(
        "--retention",
        type=float,
        metavar="RATIO",
        help="kept share of the visual tokens (default: the artifact's)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the PNG; the last line on standard output is its figures as JSON.

    Returns:
        0, or 2 for input that cannot be used.
    """
    from metacompress_compressor.adapters import AdapterError
    from metacompress_compressor.artifact import ArtifactError

    from .inspect_picture import PictureError, inspect_picture

    try:
        summary = inspect_picture(args.image, args.model, args.compressor, args.out, args.retention)
    except (AdapterError, ArtifactError, PictureError) as error:
        print(f"metacompress inspect: {error}", file=sys.stderr)
        return 2
    print(json.dumps(summary))
    return 0
