FROM golang:1.22-bookworm AS build
WORKDIR /app
COPY . .
RUN GOBIN=/app/bin go install ./cmd/web ./cmd/worker

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
WORKDIR /app
ENV PATH=/app/bin:$PATH
COPY --from=build /app /app
ENV PORT=8080
EXPOSE 8080
