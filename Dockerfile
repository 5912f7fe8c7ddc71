# docker build -t lgbench .                           for CPUs
# docker build --build-arg TORCH=cu132 -t lgbench .   for GPUs; names as `uv pip install --torch-backend` knows them
FROM python:3.12-slim

ARG TORCH=cpu
RUN pip install --no-cache-dir uv

WORKDIR /opt/learngene-bench
COPY pyproject.toml constraints.txt README.md LICENSE CITATION.cff ./
COPY learngene_bench learngene_bench
COPY methods methods
COPY baselines baselines
COPY tasks tasks
COPY results results
RUN uv pip install --system --no-cache --torch-backend ${TORCH} --constraint constraints.txt '.[parquet]'

# Results belong to whoever runs the container: docker run --user "$(id -u):$(id -g)" -v "$PWD:/work" lgbench ...
ENV HOME=/tmp LGBENCH_CACHE=/tmp/lgbench-cache PYTHONUTF8=1
WORKDIR /work
ENTRYPOINT ["lgbench"]
CMD ["--help"]
