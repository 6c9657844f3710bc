# Gatepost as a container: built by scripts/image-install, run without root, one volume for everything that lasts.
FROM debian:trixie-slim AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN /src/scripts/image-install

FROM debian:trixie-slim
LABEL org.opencontainers.image.title="Gatepost" \
      org.opencontainers.image.description="A mail security relay with quarantine and REST API" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 ca-certificates libarchive13t64 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 gatepost \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/gatepost --shell /usr/sbin/nologin gatepost
COPY --from=build /opt/gatepost /opt/gatepost
COPY --from=build /etc/gatepost /etc/gatepost
COPY --from=build --chown=10001:10001 /var/lib/gatepost /var/lib/gatepost
ENV PATH="/opt/gatepost/bin:$PATH" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
VOLUME /var/lib/gatepost
EXPOSE 2525 2587 8025
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s CMD ["gatepost", "health"]
ENTRYPOINT ["gatepost"]
CMD ["serve"]
