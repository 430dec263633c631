FROM python:3.12-bookworm
WORKDIR /app
ENV PYTHONUNBUFFERED=1
COPY . .
RUN pip install --no-cache-dir -r requirements.txt
RUN bash bin/post_compile
ENV PORT=8080
EXPOSE 8080
