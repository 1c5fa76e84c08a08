# One image for every command of production: serve, reconcile, both in one process (serve --reconcile), migrate.
# It contains no Postgres server. The commands dev and local-neon need one:
#   docker build --build-arg EXTRAS=local -t morphik-apps-local .
#
# To pin the base by its digest:
#   docker build --build-arg PYTHON_IMAGE=python:3.13-slim-bookworm@sha256:… -t morphik-apps .
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY specs specs
COPY reconciler reconciler
COPY api api
COPY migrations migrations
RUN python -m pip wheel --no-deps --wheel-dir dist .
RUN python -m venv --without-pip /opt/morphik-apps
ARG EXTRAS=
RUN python -m pip --python /opt/morphik-apps/bin/python install "$(echo dist/*.whl)${EXTRAS:+[$EXTRAS]}"

FROM ${PYTHON_IMAGE}
# With EXTRAS=local: initdb requires a user with a name, and local-neon stores its data in /data.
RUN useradd --uid 10001 --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin morphik \
    && install --directory --owner=10001 --group=10001 --mode=700 /data
COPY --from=build /opt/morphik-apps /opt/morphik-apps
ENV PATH=/opt/morphik-apps/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# For serve; whoever runs another command switches it off.
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 8000), timeout=3); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["morphik-apps"]
CMD ["serve", "--host", "0.0.0.0"]
