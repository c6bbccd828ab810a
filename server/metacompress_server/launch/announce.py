"""The line that a person waits for: where the server listens, and one request to try."""

import asyncio
from argparse import Namespace
from typing import Any

from metacompress_compressor.embedded import pictures_dir
from metacompress_server.settings import ServerSettings

from .say import say

_QUESTION = "How many objects are there?"


async def announce_when_ready(state: Any, args: Namespace, model_name: str) -> None:
    """Print the URL as soon as the HTTP server accepts connections.

    Args:
        state: the application's; vLLM puts its uvicorn server there.
        args: the server's flags.
        model_name: as clients name it.
    """
    while not getattr(getattr(state, "server", None), "started", False):
        await asyncio.sleep(0.05)
    say(ready_lines(server_url(args), model_name))
    if ServerSettings.current().playground:
        say(f"or open {server_url(args)}/playground in a browser")


def server_url(args: Namespace) -> str:
    """The base URL for clients on this machine."""
    scheme = "https" if args.ssl_certfile else "http"
    host = args.host if args.host not in (None, "", "0.0.0.0", "::") else "127.0.0.1"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{args.port}"


def ready_lines(url: str, model_name: str) -> str:
    """What to print."""
    picture = next(iter(sorted(pictures_dir().glob("*.png"))), "picture.png")
    image = f"\"data:image/png;base64,'$(base64 -w0 {picture})'\""
    content = (
        f'[{{"type": "image_url", "image_url": {{"url": {image}}}}}, '
        f'{{"type": "text", "text": "{_QUESTION}"}}]'
    )
    body = f'{{"model": "{model_name}", "messages": [{{"role": "user", "content": {content}}}]}}'
    return (
        f"ready on {url}/v1 (model {model_name}). Try:\n"
        f"curl -s {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'"
    )
