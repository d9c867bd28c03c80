# The images of muster: `muster`, the service, and `muster-agent`, which stands
# before an agent's program and is one file for anyone's image:
#
#     COPY --from=muster-agent /usr/local/bin/muster-agent /usr/local/bin/
#
#     docker build --target muster -t muster .
#     buildah bud --format docker --target muster -t muster .
#
# Both are Debian slim, and run as uid and gid 1000: the service and the agents
# are one user, so that no file that is handed over changes hands. That is also
# the PosixUser of an access point of EFS. The root file system may be read-only.
#
# The programs are compiled for the image's architecture by a compiler of this
# machine's; nothing is run in the images to make them.
ARG BASE=debian:bookworm-slim

FROM --platform=$BUILDPLATFORM $BASE AS build
ARG TARGETARCH
WORKDIR /src
COPY scripts/ensure-packages.sh scripts/
RUN apt-get update -q && sh scripts/ensure-packages.sh "static-$TARGETARCH"
COPY scripts/static.sh scripts/alive.sh scripts/
COPY Makefile ./
# Its libraries first: they change less often than what follows.
RUN sh scripts/static.sh "$TARGETARCH" --libraries
COPY base base
COPY matrix matrix
COPY handoff handoff
COPY store store
COPY registration registration
COPY appservice appservice
COPY agent agent
RUN sh scripts/static.sh "$TARGETARCH" muster muster-agent && \
    mkdir -p /out/bin /out/empty && \
    cp "build/static-$TARGETARCH/muster" \
       "build/static-$TARGETARCH/muster-agent" /out/bin/ && \
    cp /etc/ssl/certs/ca-certificates.crt /out/ && \
    { cat /etc/passwd && \
      echo 'muster:x:1000:1000::/data:/usr/sbin/nologin'; } > /out/passwd && \
    { cat /etc/group && echo 'muster:x:1000:'; } > /out/group

FROM $BASE AS muster-agent
COPY --from=build /out/passwd /out/group /etc/
COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/bin/muster-agent /usr/local/bin/
COPY --from=build --chown=1000:1000 /out/empty /runtime
USER 1000:1000
STOPSIGNAL SIGTERM
ENTRYPOINT ["muster-agent"]
CMD ["--help"]

# The example's agent, for docker-compose.yml: a program in Python.
FROM muster-agent AS example-agent
USER root
RUN apt-get update -q && \
    apt-get install -q -y --no-install-recommends python3 && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
USER 1000:1000

# muster.yaml and the files that it names are in /etc/muster, which may be
# mounted read-only; what the service keeps is in /data, and the agents' tokens
# in /runtime: volumes. These variables say so, and overrule muster.yaml.
FROM $BASE AS muster
COPY --from=build /out/passwd /out/group /etc/
COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/bin/muster /usr/local/bin/
COPY --from=build --chown=1000:1000 /out/empty /data
COPY --from=build --chown=1000:1000 /out/empty /runtime
COPY --from=build --chown=1000:1000 /out/empty /etc/muster
ENV MUSTER_APPSERVICE_LISTEN=0.0.0.0:29400 \
    MUSTER_APPSERVICE_REGISTRATION=/data/registration.yaml \
    MUSTER_HANDOFF_ROOT=/runtime \
    MUSTER_OPS_SOCKET=/data/muster.sock \
    MUSTER_STORE_PATH=/data/muster.db
WORKDIR /etc/muster
USER 1000:1000
EXPOSE 29400
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
    CMD ["muster", "healthcheck"]
ENTRYPOINT ["muster"]
CMD ["serve"]
