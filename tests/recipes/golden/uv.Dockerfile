FROM python:3.13-bookworm
WORKDIR /app
ENV PYTHONUNBUFFERED=1
COPY . .
RUN pip install --no-cache-dir uv && uv sync --locked --no-dev
ENV PATH=/app/.venv/bin:$PATH
ENV PORT=8080
EXPOSE 8080
