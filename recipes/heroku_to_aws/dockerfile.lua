--- A Dockerfile for a folder with an app's source, as the app's buildpacks would build it. Edit it: each language is a
--- function that answers lines. Images: hub.docker.com/_/node, ruby, python, golang, php, composer, maven, eclipse-temurin.
--- What the buildpacks do: devcenter.heroku.com/articles/nodejs-support, ruby-support, python-support, go-support, php-support,
--- java-support; github.com/heroku/heroku-buildpack-apt.
local errors = require "errors"
local fs = require "fs"
local json = require "json"

local M = {}

M.PORT = 8080                           -- that the app is told

--- Versions where the app names none.
M.versions = { node = "22", ruby = "3.3", python = "3.13", go = "1.24", php = "8.3", java = "21" }

-- Reading the folder ------------------------------------------------------------------------------------------------------

local function read(dir, name)
  local path = fs.join(dir, name)
  return fs.exists(path) and fs.read(path) or nil
end

local function has(dir, ...)
  for _, name in ipairs { ... } do
    if fs.exists(fs.join(dir, name)) then return name end
  end
end

local function read_json(dir, name)
  local text = read(dir, name)
  if not text then return {} end
  local value, err = json.decode(text)
  if type(value) ~= "table" then errors.usage("%s: %s", fs.join(dir, name), err and err.message or "it is not an object") end
  return value
end

--- The packages of an Aptfile; what is no package of the distribution is answered apart.
local function aptfile(dir)
  local packages, others = {}, {}
  for line in ((read(dir, "Aptfile") or "") .. "\n"):gmatch "([^\r\n]*)\r?\n" do
    local word = line:gsub("#.*$", ""):match "^%s*(.-)%s*$"
    if word:find "^%l[%w.+-]*$" or word:find "^%d[%w.+-]*$" then packages[#packages + 1] = word
    elseif word ~= "" then others[#others + 1] = word end
  end
  return packages, others
end

--- Lines that install what the Aptfile lists, and other packages.
local function apt(dir, more)
  local packages, others = aptfile(dir)
  table.move(more or {}, 1, #(more or {}), #packages + 1, packages)
  local lines = {}
  for _, other in ipairs(others) do lines[#lines + 1] = "# of the Aptfile, to be installed by hand: " .. other end
  if #packages > 0 then
    lines[#lines + 1] = ("RUN apt-get update && apt-get install -y --no-install-recommends %s && rm -rf /var/lib/apt/lists/*")
      :format(table.concat(packages, " "))
  end
  return lines
end

local function joined(...)
  local lines = {}
  for _, part in ipairs { ... } do
    if type(part) == "string" then lines[#lines + 1] = part else table.move(part, 1, #part, #lines + 1, lines) end
  end
  return lines
end

-- Languages ---------------------------------------------------------------------------------------------------------------

--- The commands that install and build an app of Node.js, in Heroku's order.
local function node_steps(dir)
  local package = read_json(dir, "package.json")
  local scripts = package.scripts or {}
  local lock = has(dir, "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml")
  local run, steps, prune = "npm run ", {}, "npm prune --omit=dev"
  if scripts["heroku-prebuild"] then steps[#steps + 1] = "RUN npm run heroku-prebuild" end
  if lock == "yarn.lock" then
    run, prune = "yarn run ", "yarn install --production --frozen-lockfile --ignore-scripts"
    table.move({ "RUN corepack enable", "RUN yarn install --frozen-lockfile" }, 1, 2, #steps + 1, steps)
  elseif lock == "pnpm-lock.yaml" then
    run, prune = "pnpm run ", "pnpm prune --prod"
    table.move({ "RUN corepack enable", "RUN pnpm install --frozen-lockfile" }, 1, 2, #steps + 1, steps)
  else
    steps[#steps + 1] = lock and "RUN npm ci" or "RUN npm install"
  end
  local build = scripts["heroku-postbuild"] and "heroku-postbuild" or scripts.build and "build"
  if build then steps[#steps + 1] = "RUN " .. run .. build end
  steps[#steps + 1] = "RUN " .. prune
  if scripts["heroku-cleanup"] then steps[#steps + 1] = "RUN " .. run .. "heroku-cleanup" end
  local wanted = (package.engines or {}).node
  return steps, type(wanted) == "string" and wanted:match "%d+" or M.versions.node
end

local languages = {}

function languages.node(dir)
  local steps, version = node_steps(dir)
  return joined(("FROM node:%s-bookworm AS build"):format(version), apt(dir), "WORKDIR /app", "COPY . .", steps, "",
    ("FROM node:%s-bookworm-slim"):format(version), apt(dir), "WORKDIR /app", "ENV NODE_ENV=production", "COPY --from=build /app /app")
end

function languages.ruby(dir, copy)
  local lock = read(dir, "Gemfile.lock") or ""
  local version = (read(dir, ".ruby-version") or ""):match "%d+%.%d+" or lock:match "RUBY VERSION%s+ruby (%d+%.%d+)"
                  or (read(dir, "Gemfile") or ""):match "\n%s*ruby%s+[\"'][^%d]*(%d+%.%d+)" or M.versions.ruby
  local lines = joined(("FROM ruby:%s-bookworm"):format(version), apt(dir), "WORKDIR /app",
    "ENV RACK_ENV=production RAILS_ENV=production RAILS_LOG_TO_STDOUT=enabled RAILS_SERVE_STATIC_FILES=enabled", copy,
    "RUN bundle config set without development:test && bundle install")
  if lock:find "\n    rails " and (lock:find "\n    sprockets" or lock:find "\n    propshaft") then
    lines[#lines + 1] = "RUN SECRET_KEY_BASE_DUMMY=1 SECRET_KEY_BASE=unused bundle exec rake assets:precompile"
  end
  return lines
end

local PYTHON = {
  { "uv.lock", { "RUN pip install --no-cache-dir uv && uv sync --locked --no-dev", "ENV PATH=/app/.venv/bin:$PATH" } },
  { "poetry.lock", { "RUN pip install --no-cache-dir poetry && poetry config virtualenvs.create false && poetry install --only main --no-root" } },
  { "Pipfile.lock", { "RUN pip install --no-cache-dir pipenv && pipenv sync --system" } },
  { "requirements.txt", { "RUN pip install --no-cache-dir -r requirements.txt" } },
}

function languages.python(dir, copy)
  local version = (read(dir, ".python-version") or ""):match "%d+%.%d+" or (read(dir, "runtime.txt") or ""):match "python%-(%d+%.%d+)"
                  or M.versions.python
  local install, needs = {}, ""
  for _, way in ipairs(PYTHON) do
    if has(dir, way[1]) then install, needs = way[2], read(dir, way[1]):lower() break end
  end
  local lines = joined(("FROM python:%s-bookworm"):format(version), apt(dir), "WORKDIR /app", "ENV PYTHONUNBUFFERED=1", copy,
    has(dir, "bin/pre_compile") and "RUN bash bin/pre_compile" or {}, install)
  if has(dir, "manage.py") and needs:find "django" then
    lines[#lines + 1] = "RUN SECRET_KEY=unused DJANGO_SECRET_KEY=unused python manage.py collectstatic --noinput"
  end
  if has(dir, "bin/post_compile") then lines[#lines + 1] = "RUN bash bin/post_compile" end
  return lines
end

function languages.go(dir, copy)
  local mod = read(dir, "go.mod") or ""
  local packages = mod:match "// %+heroku install ([^\n]+)" or has(dir, "main.go") and "." or has(dir, "cmd") and "./cmd/..." or "./..."
  local version = mod:match "// %+heroku goVersion go(%d+%.%d+)" or mod:match "\ngo (%d+%.%d+)" or M.versions.go
  return joined(("FROM golang:%s-bookworm AS build"):format(version), apt(dir), "WORKDIR /app", copy,
    "RUN GOBIN=/app/bin go install " .. packages, "", "FROM debian:bookworm-slim", apt(dir, { "ca-certificates" }), "WORKDIR /app",
    "ENV PATH=/app/bin:$PATH", "COPY --from=build /app /app")
end

--- Stands for the boot script of Heroku's buildpack: `heroku-php-apache2 [options] [document root]`.
local PHP_BOOT = [[
RUN printf '%s\n' '#!/bin/sh' 'for root; do :; done' 'case "$root" in -*) root= ;; esac' \
    'sed -i "s/^Listen .*/Listen $PORT/" /etc/apache2/ports.conf' \
    'sed -i -e "s#<VirtualHost .*#<VirtualHost *:$PORT>#" -e "s#DocumentRoot .*#DocumentRoot /app/$root#" /etc/apache2/sites-enabled/000-default.conf' \
    'exec apache2-foreground' > /usr/local/bin/heroku-php-apache2 && chmod 755 /usr/local/bin/heroku-php-apache2 \
    && printf '%s\n' '<Directory /app>' 'AllowOverride All' 'Require all granted' '</Directory>' > /etc/apache2/conf-enabled/app.conf && a2enmod rewrite
RUN mkdir -p vendor/bin && ln -sf /usr/local/bin/heroku-php-apache2 vendor/bin/heroku-php-apache2]]

function languages.php(dir, copy)
  local require_ = read_json(dir, "composer.json").require or {}
  local extensions = {}
  for name in pairs(require_) do extensions[#extensions + 1] = name:match "^ext%-([%w_]+)$" end
  table.sort(extensions)
  local wanted = type(require_.php) == "string" and require_.php:match "%d+%.%d+" or M.versions.php
  return joined(("FROM php:%s-apache-bookworm"):format(wanted), apt(dir, { "git", "unzip" }),
    "COPY --from=mlocati/php-extension-installer /usr/bin/install-php-extensions /usr/local/bin/",
    "RUN install-php-extensions @composer " .. table.concat(joined("opcache", extensions), " "), "WORKDIR /app", copy,
    "RUN composer install --no-dev --prefer-dist --optimize-autoloader --no-interaction", PHP_BOOT)
end

function languages.java(dir, copy)
  local version = (read(dir, "system.properties") or ""):match "java%.runtime%.version%s*=%s*(%d+)" or M.versions.java
  local gradle = has(dir, "build.gradle", "build.gradle.kts")
  local build = "RUN mvn -B -DskipTests clean dependency:list install"
  if has(dir, "pom.xml") and has(dir, "mvnw") then build = "RUN sh ./mvnw -B -DskipTests clean dependency:list install"
  elseif gradle then
    local spring = read(dir, gradle):find "org%.springframework%.boot"
    build = "RUN sh ./gradlew " .. (spring and not read(dir, gradle):find "[^%w]stage[^%w]" and "build -x check" or "stage")
  end
  return joined(("FROM maven:3.9-eclipse-temurin-%s AS build"):format(version), apt(dir), "WORKDIR /app", copy, build, "",
    ("FROM eclipse-temurin:%s-jre"):format(version), apt(dir), "WORKDIR /app", "COPY --from=build /app /app")
end

-- Which language ----------------------------------------------------------------------------------------------------------

--- By Heroku's buildpacks, and in Heroku's order by the files that tell a language.
local SIGNS = {
  { "ruby", "heroku/ruby", { "Gemfile" } }, { "node", "heroku/nodejs", { "package.json", "package-lock.json" } },
  { "java", "heroku/java", { "pom.xml", "pom.atom", "pom.clj" } }, { "java", "heroku/gradle", { "build.gradle", "build.gradle.kts", "gradlew" } },
  { "python", "heroku/python", { "requirements.txt", "Pipfile", "poetry.lock", "uv.lock" } },
  { "php", "heroku/php", { "composer.json", "index.php" } }, { "go", "heroku/go", { "go.mod" } },
}

--- The languages of an app, in the order of its buildpacks: the last one is that of its processes.
---@param dir string
---@param buildpacks? table[] of Heroku's buildpack installations
---@return string[] languages
function M.languages(dir, buildpacks)
  local found = {}
  for _, installed in ipairs(buildpacks or {}) do
    local name = installed.buildpack and (installed.buildpack.name or installed.buildpack.url) or ""
    for _, sign in ipairs(SIGNS) do
      if name:find(sign[2], 1, true) and has(dir, table.unpack(sign[3])) then found[#found + 1] = sign[1] end
    end
  end
  for _, sign in ipairs(SIGNS) do
    if #found == 0 and has(dir, table.unpack(sign[3])) then found[1] = sign[1] end
  end
  return found
end

--- The Dockerfile of a source folder that has none.
---@param dir string
---@param buildpacks? table[] of Heroku's buildpack installations
---@return string text
function M.of(dir, buildpacks)
  local list = M.languages(dir, buildpacks)
  local main = list[#list]
  if not main then
    errors.usage("%s has no Dockerfile, and no file that tells a language (Gemfile, package.json, requirements.txt, go.mod, composer.json, "
      .. "pom.xml, build.gradle): add a Dockerfile, or leave --source out to move the slug", dir)
  end
  local before, copy = {}, "COPY . ."
  if main ~= "node" and (list[1] == "node" or main == "ruby" and has(dir, "package.json")) then     -- it builds the assets
    local steps, version = node_steps(dir)
    before = joined(("FROM node:%s-bookworm AS assets"):format(version), "WORKDIR /app", "COPY . .", steps, "")
    copy = "COPY --from=assets /app /app"
  end
  return table.concat(joined(before, languages[main](dir, copy), ("ENV PORT=%d"):format(M.PORT), ("EXPOSE %d"):format(M.PORT)), "\n") .. "\n"
end

return M
