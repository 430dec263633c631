FROM node:22-bookworm AS build
WORKDIR /app
COPY . .
RUN npm run heroku-prebuild
RUN corepack enable
RUN yarn install --frozen-lockfile
RUN yarn run build
RUN yarn install --production --frozen-lockfile --ignore-scripts
RUN yarn run heroku-cleanup

FROM node:22-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production
COPY --from=build /app /app
ENV PORT=8080
EXPOSE 8080
