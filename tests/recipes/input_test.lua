--- Bad input to the migration: one sentence, exit code 2, and nothing was changed anywhere.
local fs = require "fs"
local labs = dofile "tests/support/rehearsal_lab.lua"
local test = require "test"
local T = test.cases()

local cloud = labs.lazy { app = "tests/support/tiny_app" }

--- The files where hkrun ran, without the journal's lock: who applies takes it before anything is read.
local function left_there(lab)
  local list = {}
  for name, what in pairs(lab.files(lab.dir .. "/work")) do
    if name ~= ".hkrun" and not name:find "%.lock$" then list[name] = what end
  end
  return list
end

--- Runs `hkrun apply --yes` with what is wrong; expects the sentence (and o.line of the recipe below it), exit code 2, no mutating call, and no file.
local function refused(pattern, words, o)
  local lab = cloud()
  o = o or {}
  local before = #lab:mutating()
  local all = { "apply", o.recipe or labs.recipe, "--yes" }
  if not o.no_app then table.move({ "--app", "tiny" }, 1, 2, #all + 1, all) end
  table.move(words, 1, #words, #all + 1, all)
  local r = lab:hkrun(all, { env = o.env })
  test.match(r.stderr, pattern)
  test.equal({ r.code, r.stdout }, { 2, "" }, r.stderr)
  test.match(r.stderr:gsub("  %.%.%. [^\n]*\n", ""), "^hkrun: [^\n]+\n" .. (o.line or "") .. "$", "one sentence after the progress")
  local calls = lab:mutating()
  test.equal(table.move(calls, before + 1, #calls, 1, {}), {}, "mutating calls")
  test.equal(left_there(lab), {}, "files in the folder where hkrun ran")
end

--- A folder with an app's source, of which one file is replaced.
local function source(name, text)
  local dir = test.tmpdir()
  for _, file in ipairs { "Procfile", "package.json", "package-lock.json", "web.js", "worker.js" } do
    fs.write(dir .. "/" .. file, fs.read("tests/support/tiny_app/" .. file))
  end
  fs.write(dir .. "/" .. name, text)
  return dir
end

T["the input that the others spoil is good: plan exits 0"] = function()
  local r = cloud():hkrun { "plan", labs.recipe, "--app", "tiny" }
  test.equal(r.code, 0, r.stderr)
  test.match(r.stdout, "%d+ to create")
end

T["an unknown option is refused, with the one that was meant"] = function()
  refused("unknown option %-%-vpc%-cird %(did you mean %-%-vpc%-cidr%?%)", { "--vpc-cird", "10.0.0.0/16" })
end

T["a range that is no range of a VPC is refused, with the option and the value"] = function()
  for _, range in ipairs { "10.40.0.0", "10.40.0.300/16", "banana", "10.40.0.0/33", "10.40.0.0/8", "10.40.7.0/16" } do
    refused("%-%-vpc%-cidr.*" .. range:gsub("%p", "%%%0"), { "--vpc-cidr", range })
  end
end

T["a bastion open to everybody, or to a range that is none, is refused"] = function()
  for _, range in ipairs { "0.0.0.0/0", "0.0.0.0/1", "garbage", "203.0.113.7/40", "203.0.113/24" } do
    refused("%-%-bastion%-ssh%-from.*" .. range:gsub("%p", "%%%0"), { "--bastion-ssh-from", range })
  end
end

T["a bastion without a range is refused"] = function()
  refused("%-%-bastion%-ssh%-from", {}, { env = { HKRUN_BASTION_SSH_FROM = false } })
end

T["missing AWS credentials are named"] = function()
  refused("AWS_ACCESS_KEY_ID", {}, { env = { AWS_ACCESS_KEY_ID = false, AWS_SECRET_ACCESS_KEY = false } })
end

T["wrong AWS credentials are named"] = function()
  refused("[Ss]ignature", {}, { env = { AWS_SECRET_ACCESS_KEY = "not-the-key-of-this-account" } })
end

T["a missing Heroku token is named"] = function()
  refused("HEROKU_API_KEY", {}, { env = { HEROKU_API_KEY = false } })
end

T["a wrong Heroku token is named"] = function()
  refused("[Hh]eroku", {}, { env = { HEROKU_API_KEY = "HRKU-not-a-token" } })
end

T["an app that Heroku does not have is named"] = function()
  refused("tinny", { "--app", "tinny" }, { no_app = true })
end

T["no app at all is asked for by its option"] = function()
  refused("%-%-app", {}, { no_app = true })
end

T["a malformed Procfile is refused with its line"] = function()
  local dir = source("Procfile", "web: node web.js\nworker node worker.js\n")
  refused("Procfile:2", { "--source", dir })
end

T["a source folder that is not there is named"] = function()
  refused("/nowhere/app", { "--source", "/nowhere/app" })
end

T["an AWS that cannot be reached is named with its address"] = function()
  local port = fs.free_port()
  refused("sts.*127%.0%.0%.1.*" .. port, {}, { env = { AWS_ENDPOINT_URL = "http://127.0.0.1:" .. port, AWS_MAX_ATTEMPTS = "1" } })
end

T["a Heroku that cannot be reached is named with its address"] = function()
  local closed = "127.0.0.1:" .. fs.free_port()
  refused(closed:gsub("%p", "%%%0"), {}, { env = { HEROKU_HOST = "http://" .. closed } })
end

T["an e-mail address that is none is refused"] = function()
  refused("%-%-notification%-email.*ops at example", { "--notification-email", "ops at example" })
end

T["a platform that Beanstalk does not have is refused before anything is made"] = function()
  local arn = "arn:aws:elasticbeanstalk:us-east-1::platform/No Such Platform/9.9.9"
  refused("%-%-beanstalk%-platform%-arn: .*No Such Platform", { "--beanstalk-platform-arn", arn })
end

T["a platform that does not fit the app, or cannot read secrets, is refused before anything is made"] = function()
  local arn = "arn:aws:elasticbeanstalk:us-east-1::platform/%s running on 64bit Amazon Linux 2023/%s"
  refused("%-%-beanstalk%-platform%-arn: .*Python 3.13.*in containers", { "--beanstalk-platform-arn", arn:format("Python 3.13", "4.8.0") })
  refused("%-%-beanstalk%-platform%-arn: .*2024%-11%-29.*read secrets", { "--beanstalk-platform-arn", arn:format("Docker", "4.4.0") })
end

T["a config file with an unknown name is refused with both names"] = function()
  local path = test.tmpdir() .. "/wrong.yml"
  fs.write(path, "vpc_cird: 10.0.0.0/16\n")
  refused("wrong%.yml.*vpc_cird.*vpc_cidr", { "--config", path })
end

T["no recipe, and a recipe that is not there, are refused"] = function()
  refused("there is no recipe /nowhere/move%.lua", {}, { recipe = "/nowhere/move.lua" })
  local r = cloud():hkrun { "apply", "--yes" }
  test.equal(r.code, 2)
  test.match(r.stderr, "^hkrun: [^\n]*needs a recipe[^\n]*\n$")
end

T["a recipe with a syntax error is refused with file and line"] = function()
  local path = test.tmpdir() .. "/broken.lua"
  fs.write(path, "local recipe = require 'recipe'\nrecipe.stage 'one'\nif then\n")
  refused("broken%.lua:3:", {}, { recipe = path, line = "  3 | if then\n" })
end

T["every sentence of this file was printed without a secret"] = function()
  local lab = cloud()
  local all = table.concat(lab.printed)
  for _, name in ipairs { "AWS_SECRET_ACCESS_KEY", "HEROKU_API_KEY" } do
    test.truthy(not all:find(lab.env[name], 1, true), name .. " was not printed")
  end
  test.equal(lab:mutating(), {}, "the cloud's log of mutating calls")
end

return T
