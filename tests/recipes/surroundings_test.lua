--- What leans on Heroku beside the stores is found and said.
package.path = "recipes/?.lua;" .. package.path
local fs = require "fs"
local heroku = require "heroku"
local surroundings = require "heroku_to_aws.surroundings"
local test = require "test"

local T = test.cases()

local function whats(rows)
  local list = {}
  for i, row in ipairs(rows) do
    test.equal({ row[2], #row[3] > 20 }, { "deferred", true }, row[1])
    list[i] = row[1]
  end
  return list
end

T["callers, listeners, drains and the pipeline of an app are listed; values of config vars are not"] = function()
  local cloud <close> = test.cloud { heroku = {
    app = "shop", config = { CALLBACK = "https://user:hush@shop-4711.herokuapp.com/paid", API = "https://api.example.com/", WORD = "herokuapp.com" },
    drains = { "syslog+tls://logs.example.com:6514", "https://logs.example.com/in" }, webhooks = { "https://ci.example.com/heroku" },
    pipeline = { name = "shop", stage = "production", review_apps = true },
  } }
  local rows = surroundings.outside(heroku.app "shop")
  test.equal(whats(rows),
    { "config var CALLBACK", "webhook https://ci.example.com/heroku", "2 log drains", "pipeline shop, stage production", "review apps" })
  test.truthy(not test.show(rows):find "4711" and not test.show(rows):find "hush", "no value")
  test.equal(cloud:calls(), {}, "nothing is changed")
end

T["an app with nothing around it has nothing to list"] = function()
  local _ <close> = test.cloud { heroku = { app = "shop", config = { API = "https://api.example.com/" } } }
  test.equal(surroundings.outside(heroku.app "shop"), {})
end

-- File, what stands in it, the habit, what is named.
local SIGNS = {
  { "package.json", '{ "dependencies": { "multer": "1" } }', "files written to the disk", "multer" },
  { "package.json", '{ "dependencies": { "express-fileupload": "1" } }', "files written to the disk", "express-fileupload" },
  { "Gemfile.lock", "GEM\n  specs:\n    carrierwave (3.0)\n", "files written to the disk", "carrierwave" },
  { "config/environments/production.rb", "R.configure do\n  config.active_storage.service = :local\nend\n", "files written to the disk",
    "active_storage.service" },
  { "requirements.txt", "Flask-Uploads==0.2\n", "files written to the disk", "Flask-Uploads" },
  { "package.json", '{ "dependencies": { "heroku-ssl-redirect": "1" } }', "redirects to https by itself", "heroku-ssl-redirect" },
  { "config/environments/production.rb", "R.configure do\n  config.force_ssl = true\nend\n", "redirects to https by itself", "config.force_ssl" },
  { "requirements.txt", "django-sslify>=0.2\n", "redirects to https by itself", "django-sslify" },
  { "package.json", '{ "dependencies": { "ws": "8" } }', "WebSockets", "ws" },
  { "Gemfile.lock", "GEM\n  specs:\n    anycable (1.5)\n", "WebSockets", "anycable" },
  { "requirements.txt", "channels==4.0\n", "WebSockets", "channels" },
  { "config/environments/production.rb", "R.configure do\n  config.log_tags = [ :request_id ]\nend\n", "reads Heroku's request id", "log_tags" },
  { "Gemfile.lock", "GEM\n  specs:\n    barnes (0.1)\n", "asks Heroku about itself", "barnes" },
  { "requirements.txt", "django-heroku\n", "asks Heroku about itself", "django-heroku" },
}

T["each habit of an app's code is found by its signs"] = function()
  local seen = {}
  for _, sign in ipairs(SIGNS) do
    local file, content, habit, found = table.unpack(sign)
    local dir = test.tmpdir()
    fs.mkdir_p(dir .. "/config/environments")
    fs.write(dir .. "/" .. file, content)
    test.equal(whats(surroundings.inside(dir)), { ("%s (%s in %s)"):format(habit, found, file) })
    seen[habit] = true
  end
  for _, habit in ipairs(surroundings.HABITS) do test.truthy(seen[habit.what], habit.what) end
end

T["code without such habits has nothing to list"] = function()
  local dir = test.tmpdir()
  test.equal(surroundings.inside(dir), {})
  fs.write(dir .. "/package.json", '{ "dependencies": { "express": "4", "wsrun": "1", "pg": "8" } }')
  fs.write(dir .. "/requirements.txt", "django==5\nchannelsx==1\n")
  test.equal(surroundings.inside(dir), {})
end

return T
