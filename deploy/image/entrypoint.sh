#!/bin/sh
# The container's process 1: `metacompress serve` with the caller's arguments, on an address that others reach.
#
# Arguments: [MODEL] and flags of the server. Inside the container it listens on port $PORT (8000) of all
# addresses, where the image's health check looks; `docker run -p` chooses address and port outside.
set -eu

for word in "$@"; do
    case $word in
        --port | --port=* | --host | --host=* | --uds | --uds=*)
            echo "metacompress image: not ${word%%=*}: set PORT in the container's environment, publish it with -p" >&2
            exit 2
            ;;
    esac
done
# MODEL comes first among the arguments, so the container's own flags go last.
exec metacompress serve "$@" --host 0.0.0.0 --port "${PORT:-8000}"
