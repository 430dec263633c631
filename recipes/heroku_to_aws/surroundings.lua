--- What leans on Heroku beside the stores: those who call the app or are told by it, and what its code takes for granted.
--- Found, said, and left to you: nothing here is changed.
local fs = require "fs"
local secret = require "secret"
local sorted_keys = require "sorted_keys"

local M = {}

local function plural(n, what) return n == 1 and "1 " .. what or ("%d %ss"):format(n, what) end

--- The config vars whose URL is an address of Heroku's own, which ends with the app.
local function herokuapp_vars(app)
  local names = {}
  for name, value in pairs(app.config) do
    local ok, url = pcall(secret.parse_url, value)
    if ok and url.host and url.host:lower():find "%.herokuapp%.com$" then names[name] = true end
  end
  return sorted_keys(names)
end

--- Who is outside: callers of the app's old address, listeners to its releases and logs, its pipeline.
---@param app HerokuApp
---@return { [1]: string, [2]: string, [3]: string }[] rows what, "deferred", what to do
function M.outside(app)
  local rows = {}
  local function row(what, note) rows[#rows + 1] = { what, "deferred", note } end
  for _, name in ipairs(herokuapp_vars(app)) do
    row("config var " .. name, "it names an address at herokuapp.com: give it the new one, and also whoever calls back there "
      .. "(payments, sign-in, webhooks)")
  end
  for _, hook in ipairs(app.webhooks) do
    row("webhook " .. hook.url, ("Heroku tells it of %s; on AWS a rule of Amazon EventBridge can"):format(table.concat(hook.include, ", ")))
  end
  if #app.drains > 0 then
    row(plural(#app.drains, "log drain"), "gets Heroku's lines until the app is removed there, and none from AWS: keep it till then; "
      .. "the new lines are in CloudWatch Logs, whose subscription filters can pass them on")
  end
  if app.pipeline then
    row(("pipeline %s, stage %s"):format(app.pipeline.name, app.couplings.stage),
      "promotions become a workflow of GitHub Actions; move the apps of the other stages in the same way")
    if app.review_apps then
      row("review apps", "nothing makes them on AWS: a workflow can make an environment for each pull request, and remove it")
    end
  end
  return rows
end

--- What gives a habit away: a pattern in one of the files that a folder may have. Edit this: it is data.
M.HABITS = {
  { what = "files written to the disk", note = "a new version or instance starts with an empty disk, as on Heroku: put uploads into Amazon S3",
    signs = {
      ["package.json"] = { '"multer"', '"formidable"', '"express%-fileupload"', '"busboy"' },
      ["Gemfile.lock"] = { "\n    carrierwave ", "\n    paperclip ", "\n    shrine " },
      ["config/environments/production.rb"] = { "active_storage%.service%s*=%s*:local" },
      ["requirements.txt"] = { "[Ff]lask%-[Uu]ploads" },
    } },
  { what = "redirects to https by itself", note = "until the environment has a certificate its health check sees the redirect only: "
      .. "give --domain, or switch the redirect off for the path of the health check",
    signs = {
      ["package.json"] = { '"express%-sslify"', '"express%-enforces%-ssl"', '"heroku%-ssl%-redirect"' },
      ["config/environments/production.rb"] = { "\n%s*config%.force_ssl%s*=%s*true" },
      ["requirements.txt"] = { "[Dd]jango%-sslify", "[Ff]lask%-[Ss]slify", "[Ff]lask%-[Tt]alisman" },
    } },
  { what = "WebSockets", note = "a load balancer of AWS ends a connection after 60 s without a byte (Heroku: 55 s); with several instances "
      .. "turn its stickiness on for transports that fall back to polling",
    signs = {
      ["package.json"] = { '"ws"', '"socket%.io"', '"sockjs"' },
      ["Gemfile.lock"] = { "\n    faye%-websocket ", "\n    anycable " },
      ["requirements.txt"] = { "[Cc]hannels[=<>~%s]", "[Ff]lask%-[Ss]ocket[Ii][Oo]" },
    } },
  { what = "reads Heroku's request id", note = "X-Request-ID is not set on AWS: a load balancer sets X-Amzn-Trace-Id, without one nothing does",
    signs = {
      ["package.json"] = { '"express%-request%-id"' },
      ["requirements.txt"] = { "django%-log%-request%-id" },
      ["config/environments/production.rb"] = { "log_tags%s*=%s*%[%s*:request_id" },
    } },
  { what = "asks Heroku about itself", note = "dyno names, HEROKU_ variables and Heroku's metrics are not there on AWS",
    signs = {
      ["package.json"] = { '"heroku%-self%-ping"' },
      ["Gemfile.lock"] = { "\n    rack%-timeout%-puma ", "\n    barnes ", "\n    judoscale", "\n    rails_12factor " },
      ["requirements.txt"] = { "[Dd]jango%-[Hh]eroku" },
    } },
}

local function sign_of(habit, read)
  for _, file in ipairs(sorted_keys(habit.signs)) do
    local content = read(file)
    for _, pattern in ipairs(content and habit.signs[file] or {}) do
      local from, to = content:find(pattern)
      if from then return file, content:sub(from, to):match '[%w][%w%._-]*' end
    end
  end
end

--- What the code in a folder takes for granted of Heroku.
---@param dir string the app's source, or its unpacked slug
---@return { [1]: string, [2]: string, [3]: string }[] rows what, "deferred", what to do
function M.inside(dir)
  local files = {}
  local function read(file)
    if files[file] == nil then
      local path = fs.join(dir, file)
      files[file] = fs.exists(path) and "\n" .. fs.read(path) or false
    end
    return files[file]
  end
  local rows = {}
  for _, habit in ipairs(M.HABITS) do
    local file, found = sign_of(habit, read)
    if file then rows[#rows + 1] = { ("%s (%s in %s)"):format(habit.what, found or "a setting", file), "deferred", habit.note } end
  end
  return rows
end

--- All that leans on Heroku.
---@param app HerokuApp
---@param source string? the folder with the app's source
---@return { [1]: string, [2]: string, [3]: string }[] rows what, "deferred", what to do
function M.read(app, source)
  local rows = M.outside(app)
  if source then
    local more = M.inside(source)
    table.move(more, 1, #more, #rows + 1, rows)
  end
  return rows
end

return M
