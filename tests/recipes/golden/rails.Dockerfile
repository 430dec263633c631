FROM node:22-bookworm AS assets
WORKDIR /app
COPY . .
RUN npm ci
RUN npm run build
RUN npm prune --omit=dev

FROM ruby:3.3-bookworm
WORKDIR /app
ENV RACK_ENV=production RAILS_ENV=production RAILS_LOG_TO_STDOUT=enabled RAILS_SERVE_STATIC_FILES=enabled
COPY --from=assets /app /app
RUN bundle config set without development:test && bundle install
RUN SECRET_KEY_BASE_DUMMY=1 SECRET_KEY_BASE=unused bundle exec rake assets:precompile
ENV PORT=8080
EXPOSE 8080
