#!/usr/bin/env python3
"""The image's health check: status 0 where the server in this container answers on /health."""

import http.client
import os
import sys

TIMEOUT_S = 9


def main() -> int:
    """Ask once; `docker ps` shows what is printed where it fails."""
    port = int(os.environ.get("PORT", "8000"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except OSError as error:
        print(f"no answer on port {port}: {error}", file=sys.stderr)
        return 1
    if status != http.client.OK:
        print(f"/health says {status}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
