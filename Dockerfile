# The gateway on any box: docs/deploy-box.md. Everything that is installed is in scripts/support/install-image, which
# tests/system/deploy/box runs in a root of its own.
# A release pins it by its digest (scripts/support/build-image).
ARG BASE=python:3.13-slim
FROM ${BASE}

# Another index of packages, if PyPI is slow: docker build --build-arg PIP_INDEX_URL=https://…/simple
ARG PIP_INDEX_URL

WORKDIR /app
COPY requirements/box.txt requirements/
COPY scripts/support/install-image scripts/support/
COPY hosts/__init__.py hosts/
COPY hosts/box hosts/box
COPY api api
COPY lib lib
COPY simulator simulator
RUN scripts/support/install-image

# A number: Kubernetes' runAsNonRoot cannot tell of a name whether it is root's.
USER 10001:10001
# Nothing but /data is ever written: the root may be read-only. Large files pass through it, too (TMPDIR).
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    STORE_URL=sqlite:////data/state.db \
    TMPDIR=/data
VOLUME /data
EXPOSE 8000
# http.client knows of no proxy: http_proxy is for what the gateway asks, not for who asks it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["/venv/bin/python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1:8000', timeout=4); c.request('GET', '/ping'); exit(c.getresponse().status != 200)"]
# The server itself is the first process: SIGTERM reaches it.
ENTRYPOINT ["/venv/bin/python", "-m", "hosts.box", "--host", "0.0.0.0", "--port", "8000"]
