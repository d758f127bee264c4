# The operator's image: docker build -t warlock-operator:0.1.0 .
#
# Not built in CI, for want of a container engine there. Everything that it does is done without
# one too: the same locked packages, the same account, the same read-only code.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements/run.txt requirements/run.txt
RUN python -m venv /opt/warlock \
 && /opt/warlock/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements/run.txt
# hatchling only builds, so it stays behind in this stage; what it makes is one pure-Python wheel.
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN pip wheel --no-cache-dir --no-deps --wheel-dir dist . \
 && /opt/warlock/bin/pip install --no-cache-dir --no-deps --no-index dist/*.whl \
 && /opt/warlock/bin/python -m compileall -q /opt/warlock/lib

FROM python:3.11-slim
COPY --from=build /opt/warlock /opt/warlock
ENV PATH=/opt/warlock/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python", "-m", "warlock_operator"]
