#!/usr/bin/env bash
# Starts the image that build_without_registry.sh built and asks it one question: deploy/image/try.sh [UID]
#
# UID is the container's user (10001), always of group 0; a large one is what OpenShift would pick.
# Variables: DEVICE, WORK and TAG as for the build, PORT (8000).
set -euo pipefail
cd "$(dirname "$0")/../.."
source deploy/lib.sh

user=${1:-10001}
port=${PORT:-8000}
work=${WORK:-/var/tmp/metacompress-image}
tag=${TAG:-localhost/metacompress:${DEVICE:-cpu}}
export STORAGE_DRIVER=${STORAGE_DRIVER:-overlay}
engine=(buildah --root "$work/store" --runroot "$work/run")
log=$work/try.log

container=$("${engine[@]}" from --pull-never "$tag")
in_container() { "${engine[@]}" run --isolation chroot --user "$user:0" --env PORT="$port" "$container" -- "$@"; }
# The shell in front leaves its process id, which is the server's after the entrypoint's exec.
in_container sh -c 'echo $$ >/tmp/server.pid; exec /app/deploy/image/entrypoint.sh' >"$log" 2>&1 &
runner=$!
clean_up() {
    kill -TERM "$(in_container cat /tmp/server.pid)" 2>/dev/null || true
    wait "$runner" 2>/dev/null || true
    "${engine[@]}" rm "$container" >/dev/null
}
trap clean_up EXIT

deadline=$((SECONDS + 600))
until in_container /app/deploy/image/healthy.py 2>/dev/null; do
    kill -0 "$runner" 2>/dev/null || { cat "$log" >&2; fail "the server stopped"; }
    ((SECONDS < deadline)) || { tail "$log" >&2; fail "not healthy after 600 s"; }
    sleep 1
done
say "healthy as user $user of group 0, by the image's own health check"

picture=$(base64 --wrap=0 compressor/metacompress_compressor/embedded/pictures/000000.png)
answer=$(curl --silent --fail-with-body "http://127.0.0.1:$port/v1/chat/completions" --header 'Content-Type: application/json' --data @- <<END
{"model": "metacompress-embedded", "temperature": 0, "messages": [{"role": "user", "content": [
  {"type": "image_url", "image_url": {"url": "data:image/png;base64,$picture"}},
  {"type": "text", "text": "Where is the airplane?"}]}]}
END
) || { echo "$answer" >&2; fail "no answer"; }
python3 -c 'import json, sys
answer = json.load(sys.stdin)
print(answer["choices"][0]["message"]["content"])
print(answer["usage"]["metacompress"])' <<<"$answer"
