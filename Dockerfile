# The server as a container image: CUDA by default, CPU with `--build-arg DEVICE=cpu`.
#
#   docker build -t metacompress .
#   docker run --gpus all -p 8000:8000 -v /models:/models:ro metacompress /models/llava --compressor /models/compressor
#
# Without arguments it serves the embedded model. docs/deploy.md tells how the image is meant to run,
# and how to pin BASE by digest: `make pin-base` prints the argument for --build-arg.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS base
ARG DEVICE=cuda
# libnuma is vLLM's; the compiler is for Triton, which builds a small launcher at run time.
# No versions: the base's release decides them, and its security updates are wanted.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 libnuma1 \
    && if [ "${DEVICE}" = cuda ]; then apt-get install --yes --no-install-recommends gcc libc6-dev; fi \
    && rm -rf /var/lib/apt/lists/*

FROM base AS build
ARG DEVICE=cuda
WORKDIR /app
# What others wrote first: this layer stays while only our own code changes.
COPY pyproject.toml ./
COPY deploy/install.sh deploy/lib.sh deploy/
COPY deploy/requirements deploy/requirements
COPY deploy/cpu deploy/cpu
ENV VENV=/app/.venv PYTHON=python3.11 PIP_NO_CACHE_DIR=1
RUN DEVICE=${DEVICE} deploy/install.sh pins
COPY README.md LICENSE NOTICE ./
COPY kernels kernels
COPY compressor compressor
COPY server server
RUN DEVICE=${DEVICE} deploy/install.sh serve
COPY deploy/image deploy/image

# vLLM's router for several replicas: `docker build --target router`; its arguments are their URLs.
FROM ${BASE} AS router
COPY deploy/requirements/router.txt deploy/router/route.sh /app/
RUN python3.11 -m venv /app/venv && /app/venv/bin/pip install --no-cache-dir --no-deps --requirement /app/router.txt
ENV HOST=0.0.0.0 VLLM_ROUTER=/app/venv/bin/vllm-router PYTHONDONTWRITEBYTECODE=1
USER 10001:0
EXPOSE 8000 29000
ENTRYPOINT ["/app/route.sh"]

FROM base
LABEL org.opencontainers.image.title="MetaCompress serving" \
      org.opencontainers.image.licenses="Apache-2.0"
# OpenShift runs an arbitrary user of group 0, so what is written must belong to that group.
RUN useradd --uid 10001 --gid 0 --home-dir /home/metacompress --create-home metacompress \
    && install --directory --owner 10001 --group 0 --mode 0775 /state \
    && chmod -R g=u /home/metacompress
COPY --from=build /app /app
# USER, since libraries ask for the name of a user that an arbitrary one does not have.
ENV HOME=/home/metacompress \
    USER=metacompress \
    PATH=/app/.venv/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HUB_OFFLINE=1 \
    VLLM_NO_USAGE_STATS=1
USER 10001:0
WORKDIR /home/metacompress
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=300s --retries=5 \
    CMD ["/app/deploy/image/healthy.py"]
ENTRYPOINT ["/app/deploy/image/entrypoint.sh"]
