# syntax=docker/dockerfile:1
# One image for every role: `relay web` (the default), `relay worker`, or any other command.
#
#   docker build -t planday-relay .
#   docker run --read-only --tmpfs /tmp -v relay-data:/data -v ./relay.toml:/etc/planday-relay/relay.toml:ro \
#       -e REDIS_URL -e RELAY_ADMIN_TOKEN -p 8000:8000 --stop-timeout 40 planday-relay
#
# Stop time: on SIGTERM a worker finishes what is on the wire, at most for relay.shutdown_grace (25 s unless set).
# Give the container 15 s more than that: --stop-timeout 40, `stop_grace_period: 40s` in compose,
# `terminationGracePeriodSeconds: 40` in Kubernetes. Docker's own 10 s would cut deliveries off; they come again by
# their leases, but a target then may see one twice.

FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY requirements/ requirements/
# What runs, exactly as locked and by hash ...
RUN python -m venv /opt/relay && /opt/relay/bin/pip install --require-hashes -r requirements/run.lock
# ... and what builds, likewise, in an environment that stays behind.
RUN python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r requirements/dev.lock
COPY pyproject.toml README.md LICENSE ./
COPY config/ config/
COPY relay/ relay/
RUN /opt/build/bin/python -m hatchling build -t wheel -d /dist \
    && /opt/relay/bin/pip install --no-deps /dist/*.whl \
    && /opt/relay/bin/python -m compileall -q /opt/relay/lib

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin relay \
    && install -d -o relay -g relay -m 0700 /data
COPY --from=build /opt/relay /opt/relay
ENV PATH=/opt/relay/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PORT=8000 \
    RELAY_CONFIG=/etc/planday-relay/relay.toml \
    RELAY_DATA_DIR=/data \
    RELAY_LOG_FORMAT=json \
    # Reachable from outside the container, and so it demands RELAY_ADMIN_TOKEN.
    RELAY_RELAY__BIND=0.0.0.0
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# Is the receiver alive? A worker has no port: switch this off for it (deploy/compose.yaml); /readyz counts workers.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/healthz\", timeout=2)"]
ENTRYPOINT ["relay"]
CMD ["web"]
