# The server as a container image: CUDA by default, CPU with `--build-arg DEVICE=cpu`.
#
#   docker build -t metacompress .
#   docker run --gpus all -p 8000:8000 -v /models:/models:ro metacompress /models/llava --compressor /models/compressor
#
# Without arguments it serves the embedded model. Not built so far: no container engine was at hand
# where it was written. Pin the base by its digest before you depend on the image.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG DEVICE=cuda
WORKDIR /app
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY deploy/install.sh deploy/lib.sh deploy/
COPY deploy/requirements deploy/requirements
COPY deploy/cpu deploy/cpu
COPY kernels kernels
COPY compressor compressor
COPY server server
RUN VENV=/app/.venv DEVICE=${DEVICE} PYTHON=python3.11 PIP_NO_CACHE_DIR=1 deploy/install.sh

FROM ${BASE}
ARG DEVICE=cuda
# libnuma is vLLM's; the compiler is for Triton, which builds a small launcher at run time.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 libnuma1 $([ "${DEVICE}" = cpu ] || echo gcc libc6-dev) \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /app /app
# OpenShift runs an arbitrary user of group 0, so what is written must belong to that group.
RUN useradd --uid 10001 --gid 0 --home-dir /home/metacompress --create-home metacompress \
    && chmod -R g=u /home/metacompress
ENV HOME=/home/metacompress \
    PATH=/app/.venv/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    VLLM_NO_USAGE_STATS=1
USER 10001:0
WORKDIR /home/metacompress
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=300s --retries=5 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=9)"]
# MODEL comes first among the arguments, so the container's own flags go last.
ENTRYPOINT ["sh", "-c", "exec metacompress serve \"$@\" --host 0.0.0.0 --port 8000", "metacompress"]
