FROM python:3.11-bookworm
WORKDIR /app
ENV PYTHONUNBUFFERED=1
COPY . .
RUN pip install --no-cache-dir poetry && poetry config virtualenvs.create false && poetry install --only main --no-root
RUN SECRET_KEY=unused DJANGO_SECRET_KEY=unused python manage.py collectstatic --noinput
ENV PORT=8080
EXPOSE 8080
