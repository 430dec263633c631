FROM node:22-bookworm AS assets
WORKDIR /app
COPY . .
RUN npm install
RUN npm run build
RUN npm prune --omit=dev

FROM python:3.13-bookworm
WORKDIR /app
ENV PYTHONUNBUFFERED=1
COPY --from=assets /app /app
RUN pip install --no-cache-dir -r requirements.txt
ENV PORT=8080
EXPOSE 8080
