FROM heroku/heroku:24
USER root
COPY --chown=1000:1000 app/ /app/
COPY start /start
USER 1000:1000
ENV HOME=/app
WORKDIR /app
ENTRYPOINT ["/start"]
