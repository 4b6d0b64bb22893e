# Builds the service and puts it, alone and without a shell, into an image that runs as nobody in particular.
# It has not been built where the project is developed: there is no container engine there.
FROM rust:1-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /source/target/release/tsdb-ws /usr/local/bin/tsdb-ws
COPY --from=build --chown=nonroot:nonroot /data /data
WORKDIR /data
# Keyspace files are mounted at /data/formulas, the operator's file at /data/tsdb-ws.yaml; with neither the demo is served.
# The admin address stays on the container's own loopback.
ENV TSDB_WS_LISTEN=0.0.0.0:8090
EXPOSE 8090
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/tsdb-ws"]
