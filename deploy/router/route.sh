#!/bin/sh
# Starts vLLM's router before replicas of the server: deploy/router/route.sh http://HOST:PORT... [flags of vllm-router]
#
# A session's requests (header X-Session-ID) go to the replica that its id hashes to. A replica that is
# gone is noticed by the first request that it fails, which is tried again at another one.
# Variables: HOST (127.0.0.1), PORT (8000), METRICS_PORT (29000), and VLLM_ROUTER, the program.
set -eu

[ $# -gt 0 ] || { echo "usage: $0 http://HOST:PORT... [flags of vllm-router]" >&2; exit 2; }
exec "${VLLM_ROUTER:-vllm-router}" \
    --host "${HOST:-127.0.0.1}" --port "${PORT:-8000}" \
    --prometheus-host "${HOST:-127.0.0.1}" --prometheus-port "${METRICS_PORT:-29000}" \
    --policy consistent_hash \
    --worker-startup-check-interval 2 \
    --health-check-interval-secs 5 --health-check-timeout-secs 5 \
    --health-failure-threshold 2 --health-success-threshold 1 \
    --cb-failure-threshold 1 --cb-timeout-duration-secs 10 \
    --retry-max-retries 8 \
    --worker-urls "$@"
