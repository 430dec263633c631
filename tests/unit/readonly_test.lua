--- Read-only mode: what could change something is refused before anything is sent.
local aws = require "aws"
local fs = require "fs"
local heroku = require "heroku"
local process = require "process"
local readonly = require "readonly"
local reads = require "redis.reads"
local serve = require "rehearsal.serve"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"

--- A server that counts, and the mode switched on for the case.
local function setup(body)
  local seen = {}
  local server = serve.start { handler = function(req) seen[#seen + 1] = req.method return { body = body } end }
  test.defer(function() server:stop() end)
  readonly.set(true, "type :write on")
  test.defer(function() readonly.set(false) end)
  return server.url, seen
end

T["AWS: reading goes through, changing is refused and says how to allow it"] = function()
  local url, seen = setup "<R><vpcSet/></R>"
  local ec2 = aws.client { service = "ec2", region = "us-east-1", endpoint = url,
                           credentials = { access_key_id = "AK", secret_access_key = "SK" } }
  test.equal(ec2:describe_vpcs().Vpcs, {})
  local e = test.raises("cannot call ec2.CreateVpc: .*read%-only; type :write on$", ec2.create_vpc, ec2, { CidrBlock = "10.0.0.0/16" })
  test.equal(e.kind, "read_only")
  test.equal(#seen, 1, "requests")
  readonly.set(false)
  ec2:create_vpc { CidrBlock = "10.0.0.0/16" }
  test.equal(#seen, 2, "requests with writing allowed")
end

T["Heroku: only GET is sent"] = function()
  local url, seen = setup "{}"
  local client = heroku.client { host = url, token = "t" }
  client:get "/apps/shop"
  test.raises("cannot PATCH /apps/shop on Heroku: .*read%-only", client.call, client, "PATCH", "/apps/shop", { json = {} })
  test.equal(seen, { "GET" })
end

T["Redis: a command is known to read, or it is refused"] = function()
  for _, words in ipairs { { "GET", "a" }, { "get", "a" }, { "CONFIG", "GET", "*" }, { "XINFO", "STREAM", "s" } } do
    test.truthy(reads.is_read(words), table.concat(words, " "))
  end
  for _, words in ipairs { { "SET", "a", "b" }, { "CONFIG", "SET", "a", "b" }, { "FLUSHALL" }, { "EVAL", "x" }, { "NEW.COMMAND" } } do
    test.truthy(not reads.is_read(words), table.concat(words, " "))
  end
end

T["--read-only holds for a line of Lua, wherever it stands"] = function()
  local env = { PATH = os.getenv "PATH", HOME = test.tmpdir(), AWS_REGION = "us-east-1", HKRUN_LIB = os.getenv "HKRUN_LIB" }
  for _, words in ipairs { { "--read-only", "-e", "aws.ec2:create_vpc{}" }, { "-e", "aws.ec2:create_vpc{}", "--read-only" } } do
    local r = process.run { exe, words[1], words[2], words[3], env = env, timeout = 60 }
    test.equal(r.code, 1)
    test.match(r.stderr, "read%-only; run it without %-%-read%-only to allow it\n$")
  end
end

T["a client needs no region and no credentials before its first request"] = function()
  local env = { PATH = os.getenv "PATH", HOME = test.tmpdir(), HKRUN_LIB = os.getenv "HKRUN_LIB" }
  local r = process.run { exe, "-e", "type(aws.rds.describe_db_instances), aws.rds:describe_db_instances()", env = env, timeout = 60 }
  test.equal(r.code, 2)
  test.match(r.stderr, "no AWS region is given")
  r = process.run { exe, "-e", "type(aws.rds.describe_db_instances)", env = env, timeout = 60 }
  test.equal(r.stdout, "function\n")
end

return T
