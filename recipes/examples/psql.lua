--- Opens psql on the private database that heroku_to_aws.lua made, or redis-cli on its cache, through the bastion. Both check
--- the certificates; no password stands in an argument, and the port that leads there is closed when they end. Without a
--- bastion --via session-manager goes through the app's machine, no port of which is open for it.
---
---     hkrun recipes/examples/psql.lua --name shop
---     hkrun recipes/examples/psql.lua --name shop --program redis-cli --command "DBSIZE"
---
--- It prints
---
---     SSL connection (protocol: TLSv1.3, cipher: TLS_AES_256_GCM_SHA384, bits: 256, compression: off)
---     app=>
local recipe, aws = require "recipe", require "aws"
local fs, http, json, process, secret = require "fs", require "http", require "json", require "process", require "secret"

local opt = recipe.options {
  { "name", "what the app's things on AWS are called", target = true },
  { "region", "AWS region", default = "us-east-1", use = function(v) aws.use { region = v } end },
  { "program", "what to open", default = "psql", one_of = { "psql", "redis-cli" } },
  { "via", "the way there; session-manager needs AWS's session-manager-plugin", default = "bastion", one_of = { "bastion", "session-manager" } },
  { "command", "run only this, and end" },
  { "output", "file for what it prints (default: the terminal)" },
  { "user", "who to log in as at the bastion", default = "ec2-user" },
  { "ca", "file with the certificate authorities of RDS (default: PGSSLROOTCERT, else Amazon's are fetched)" },
}
local ROOTS = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"

--- The URL that the app itself uses, out of its secret.
local function url_of(variable)
  local vars = json.decode(aws.secretsmanager:get_secret_value({ SecretId = opt.name .. "/config" }).SecretString, { secrets = true })
  recipe.need(vars[variable], "the secret %s/config has no %s", opt.name, variable)
  return secret.parse_url(vars[variable])
end

local function rds_roots()
  local given = opt.ca or os.getenv "PGSSLROOTCERT"
  if given then return given end
  local path = ".hkrun/rds-global-bundle.pem"
  fs.mkdir_p ".hkrun"
  if not fs.exists(path) then recipe.need(http.get(ROOTS, { to_file = path }):ok(), "cannot fetch %s", ROOTS) end
  return fs.realpath(path)
end

--- A machine of the app, through which Session Manager leads.
local function machine()
  local found = aws.ec2:describe_instances { Filters = { { Name = "tag:elasticbeanstalk:environment-name", Values = { opt.name } },
                                                         { Name = "instance-state-name", Values = { "running" } } } }
  recipe.need(found.Reservations[1], "no machine of the environment %s runs in %s", opt.name, opt.region)
  return found.Reservations[1].Instances[1].InstanceId
end

recipe.stage "connect"
local bastion <close> = opt.via == "bastion" and aws.bastion_of({ opt.name, user = opt.user }):open() or nil
local url = url_of(opt.program == "psql" and "DATABASE_URL" or "REDIS_URL")
local port = url.port or (opt.program == "psql" and 5432 or 6379)
local target = ("%s:%d"):format(url.host, port)
local tunnel <close> = bastion and bastion:tunnel(target) or aws.session { machine(), to = target }

recipe.stage(opt.program)
local words = { opt.program }
local env = { PATH = os.getenv "PATH", HOME = os.getenv "HOME", TERM = os.getenv "TERM", LANG = "C.UTF-8" }
if opt.program == "psql" then
  env.PGHOST, env.PGHOSTADDR, env.PGPORT = url.host, tunnel.host, tostring(tunnel.port)   -- the name is that of the certificate
  env.PGUSER, env.PGPASSWORD, env.PGDATABASE = url.user, url.password, url.path:sub(2)
  env.PGSSLMODE, env.PGSSLROOTCERT = "verify-full", rds_roots()
  if opt.command then words = { "psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", opt.command } end
else
  words = { "redis-cli", "-h", tunnel.host, "-p", tostring(tunnel.port), "--tls", "--sni", url.host, "--no-auth-warning" }
  env.REDISCLI_AUTH, env.SSL_CERT_FILE = url.password, os.getenv "SSL_CERT_FILE"
  for word in (opt.command or ""):gmatch "%S+" do words[#words + 1] = word end
end
words.env, words.stdin, words.stdout, words.stderr = env, opt.command and "null" or "inherit", opt.output or "inherit", "inherit"
local p <close> = process.start(words)
local code = p:wait()
recipe.need(code == 0, "%s ended with code %d", opt.program, code)
