FROM php:8.2-apache-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends git unzip && rm -rf /var/lib/apt/lists/*
COPY --from=mlocati/php-extension-installer /usr/bin/install-php-extensions /usr/local/bin/
RUN install-php-extensions @composer opcache pdo_pgsql redis
WORKDIR /app
COPY . .
RUN composer install --no-dev --prefer-dist --optimize-autoloader --no-interaction
RUN printf '%s\n' '#!/bin/sh' 'for root; do :; done' 'case "$root" in -*) root= ;; esac' \
    'sed -i "s/^Listen .*/Listen $PORT/" /etc/apache2/ports.conf' \
    'sed -i -e "s#<VirtualHost .*#<VirtualHost *:$PORT>#" -e "s#DocumentRoot .*#DocumentRoot /app/$root#" /etc/apache2/sites-enabled/000-default.conf' \
    'exec apache2-foreground' > /usr/local/bin/heroku-php-apache2 && chmod 755 /usr/local/bin/heroku-php-apache2 \
    && printf '%s\n' '<Directory /app>' 'AllowOverride All' 'Require all granted' '</Directory>' > /etc/apache2/conf-enabled/app.conf && a2enmod rewrite
RUN mkdir -p vendor/bin && ln -sf /usr/local/bin/heroku-php-apache2 vendor/bin/heroku-php-apache2
ENV PORT=8080
EXPOSE 8080
