FROM node:20-bookworm AS build
# of the Aptfile, to be installed by hand: :repo:deb http://example.com stable main
# of the Aptfile, to be installed by hand: https://example.com/x.deb
RUN apt-get update && apt-get install -y --no-install-recommends libvips42 ghostscript && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY . .
RUN npm ci
RUN npm run heroku-postbuild
RUN npm prune --omit=dev

FROM node:20-bookworm-slim
# of the Aptfile, to be installed by hand: :repo:deb http://example.com stable main
# of the Aptfile, to be installed by hand: https://example.com/x.deb
RUN apt-get update && apt-get install -y --no-install-recommends libvips42 ghostscript && rm -rf /var/lib/apt/lists/*
WORKDIR /app
ENV NODE_ENV=production
COPY --from=build /app /app
ENV PORT=8080
EXPOSE 8080
