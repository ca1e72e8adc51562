# One image for web, worker, beat and migrate; the command decides which one runs (docker-compose.yml has all four).
#
# The base is pinned by its tag, so that a rebuild brings Debian's and Python's security fixes. For builds that are
# identical to the byte, give its digest too:
#   docker buildx imagetools inspect python:3.11-slim-bookworm --format '{{.Manifest.Digest}}'
#   docker build --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:… .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /app
# No pip inside, because the venv is copied as it is. Only wheels, so that no compiler is ever needed.
RUN python -m venv --without-pip /opt/venv
COPY requirements.txt ./
RUN python -m pip --python /opt/venv/bin/python install \
    --no-cache-dir --disable-pip-version-check --only-binary=:all: --requirement requirements.txt
COPY . .
# The settings refuse to load without these three variables; the values are for this command only and stay in no layer.
# The modes do not depend on the umask of the clone: readable by all users, writable only by root.
RUN SECRET_KEY=of-the-build DATABASE_URL=postgres://of.the.build/none REDIS_URL=redis://of.the.build/0 \
    /opt/venv/bin/python manage.py collectstatic --noinput --verbosity 0 \
    && /opt/venv/bin/python -m whitenoise.compress --quiet static \
    && /opt/venv/bin/python -m compileall -q . \
    && chmod -R a+rX,go-w .

FROM ${PYTHON_IMAGE}
RUN python -m pip uninstall --yes --quiet pip setuptools wheel \
    && groupadd --gid 10001 kasparro \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin kasparro
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
# PORT is gunicorn's own variable: the port on which it listens, on all addresses. Platforms that choose a port set it.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=8000
# As a number, so that a platform can check that it is not root. Processes write only to /tmp.
USER 10001:10001
EXPOSE 8000
# For gunicorn, Celery and beat it means: finish the current work, then stop.
STOPSIGNAL SIGTERM
# For the web process; worker and beat have checks of their own: `python -m kasparro.alive worker`.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-m", "kasparro.alive", "web"]
CMD ["python", "-m", "gunicorn", "--config", "python:kasparro.gunicorn", "kasparro.wsgi"]
