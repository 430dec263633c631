local aws = require "aws"
local fs = require "fs"
local process = require "process"
local secret = require "secret"
local test = require "test"
local text = require "text"
local T = test.cases()

local network = require "rehearsal.planes.network"
local root = fs.uid() == 0
local user = root and "ec2-user" or select(2, fs.uid())

--- What heroku_to_aws.lua leaves behind, as far as it matters here.
local function made(name)
  local net = aws.network { name, cidr = "10.9.0.0/16", zones = 2 }
  local bastion = aws.bastion { name, network = net, ssh_from = root and network.CLIENT .. "/32" or "127.0.0.1/32", user = user }
  local db = aws.postgres { name, network = net, allow = { bastion.group }, final_snapshot = false }
  local cache = aws.cache { name, network = net, allow = { bastion.group }, final_snapshot = false }
  aws.secret { name .. "/config",
    value = text('{"DATABASE_URL":%s,"REDIS_URL":%s}', secret.encode(db.url, "json"), secret.encode(cache.url, "json")) }
end

T["psql and redis-cli reach the private stores, with verified certificates and no password among their words"] = function()
  local cloud <close> = test.cloud { servers = true }
  test.apply(function() made "shop" end)
  local out = test.tmpdir() .. "/out"
  local function said(program, command)
    if fs.exists(out) then fs.remove(out) end
    local options = { name = "shop", user = user, program = program, command = command, output = out }
    test.equal(test.apply("psql.lua", options).changes, 0)
    return fs.read(out):gsub("%s+$", ""):match "[^\n]*$"              -- the recipe is planned, too
  end
  test.match(said("psql", "SELECT current_user, ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"), "^app|t|TLSv1%.%d$")
  test.equal(said("redis-cli", "SET proof 42"), "OK")
  test.equal(said("redis-cli", "GET proof"), "42")

  local password = process.run { test.tool "aws", "secretsmanager", "get-secret-value", "--secret-id", "shop-db-password", "--query", "SecretString",
    "--output", "text", env = cloud.cloud:env(), timeout = 300 }.stdout:gsub("%s", "")
  test.truthy(#password >= 16, "a password to look for")
  local seen = said("psql", [[\! tr '\0' ' ' < /proc/$PPID/cmdline; echo]])
  test.match(seen, "psql %-X %-A")
  test.truthy(not seen:find(password, 1, true), "no password among the words of psql")

  test.raises("psql ended with code", said, "psql", "SELECT 1/0")
  local other = test.tmpdir() .. "/ca.pem"
  fs.write(other, process.run { "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=other",
    "-keyout", "/dev/null", timeout = 30 }.stdout)
  test.raises("psql ended with code 2", test.apply, "psql.lua",
    { name = "shop", user = user, command = "SELECT 1", output = out, ca = other })
end

T["a bastion that is another machine now is refused, and one that is not there is said not to be"] = function()
  local cloud <close> = test.cloud { servers = true }
  test.raises("no machine called shop%-bastion runs in us%-east%-1", test.apply, "psql.lua", { name = "shop" })
  test.apply(function()
    local net = aws.network { "shop", cidr = "10.9.0.0/16", zones = 2 }
    aws.bastion { "shop", network = net, ssh_from = root and network.CLIENT .. "/32" or "127.0.0.1/32", user = user }
  end)
  local machine = aws.ec2:describe_instances({ Filters = { { Name = "tag:Name", Values = { "shop-bastion" } } } }).Reservations[1].Instances[1]
  local another = require "ssh".keygen().public
  aws.ec2:create_tags { Resources = { machine.InstanceId }, Tags = { { Key = "hkrun:host-key", Value = another } } }
  local e = test.raises("host key", test.apply, "psql.lua", { name = "shop", user = user })
  test.match(tostring(e), "host_key_changed.*it may be another machine")
  test.equal(#cloud:left() > 0, true)
end

return T
