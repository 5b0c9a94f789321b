# The page and the HTTP API with all models inside; see docs/http.md.
#
#   docker build -t stylizer --build-arg TORCH_INDEX=<index of the CPU wheels> .
#   docker run --rm -p 7860:7860 --read-only --tmpfs /tmp stylizer

ARG PYTHON=3.11
ARG NODE=24

# What paints in visitors' browsers.
FROM node:${NODE}-slim AS browser
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM python:${PYTHON}-slim AS build
# An index with the CPU wheels of torch, which are a tenth of the size; empty: the default index.
ARG TORCH_INDEX=
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt /src/
RUN if [ -n "$TORCH_INDEX" ]; then pip install --index-url "$TORCH_INDEX" --constraint /src/constraints.txt torch torchvision; fi
# The dependencies alone: this layer stays as long as pyproject.toml does.
COPY pyproject.toml /src/
RUN python -c "import tomllib; print(*tomllib.load(open('/src/pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > /src/requirements.txt \
    && pip install --constraint /src/constraints.txt -r /src/requirements.txt onnx

FROM python:${PYTHON}-slim
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin stylizer
COPY --from=build /venv /venv
WORKDIR /srv/stylizer
COPY --from=browser \
    /src/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs \
    /src/node_modules/onnxruntime-web/dist/ort.jspi.min.mjs \
    /src/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.mjs \
    /src/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm \
    /src/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.jspi.mjs \
    /src/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.jspi.wasm \
    node_modules/onnxruntime-web/dist/
COPY LICENSE pyproject.toml ./
COPY examples examples
COPY transformer_net transformer_net
COPY styles styles
COPY app app
COPY train_style.py ./
# Byte code now, for the file system may be read-only later.
RUN /venv/bin/python -m compileall -q app styles transformer_net
# Uploads over a megabyte and the page's pictures go to /tmp, the only place that is written to.
# Two malloc arenas: decoding and encoding move between threads, and each arena keeps what it once held.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp GRADIO_TEMP_DIR=/tmp/gradio MPLCONFIGDIR=/tmp/matplotlib \
    GRADIO_ANALYTICS_ENABLED=False HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 \
    MALLOC_ARENA_MAX=2 \
    STYLIZER_HOST=0.0.0.0 STYLIZER_PORT=7860
USER 10001
EXPOSE 7860
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"STYLIZER_PORT\"]}/healthz', timeout=4)"]
CMD ["python", "-m", "app"]
