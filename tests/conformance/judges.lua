--- Judges that none of us wrote, asked about a migrated app: boto3, the AWS CLI, OpenSSH's ssh, psql and redis-cli.
--- tests/recipes/rehearsal_test.lua calls them between apply and destroy, on the one state that it made.
local fs = require "fs"
local json = require "json"
local process = require "process"
local task = require "task"
local test = require "test"
local zip = require "zip"

---@class Judges
---@field lab RehearsalLab
---@field name string
local Judges = {}
Judges.__index = Judges

local function set(list)
  local s = {}
  for _, v in ipairs(list) do s[v] = true end
  return s
end

--- What boto3 sees, read once.
function Judges:seen()
  if not self.found then
    local r = self.lab:foreign { test.tool "python3", "tests/conformance/judges.py", self.name }
    self.found = json.decode(r.stdout)
  end
  return self.found
end

--- Runs the AWS CLI; returns its text.
function Judges:aws(...)
  -- version 1 of the CLI asks the real RDS whatever AWS_ENDPOINT_URL says
  return (self.lab:foreign { test.tool "aws", "--endpoint-url", self.lab.env.AWS_ENDPOINT_URL, "--output", "text", ... }.stdout:gsub("%s+$", ""))
end

--- A secret's value by the AWS CLI: as an operator would get it.
function Judges:secret(name)
  return self:aws("secretsmanager", "get-secret-value", "--secret-id", name, "--query", "SecretString")
end

-- boto3 --------------------------------------------------------------------

function Judges:check_network()
  local n = self:seen().network
  test.equal({ n.cidr, n.gateways, n.dns }, { "10.40.0.0/16", 1, { true, true } })
  test.equal(n.subnets, { { "us-east-1a", "private" }, { "us-east-1a", "public" }, { "us-east-1b", "private" }, { "us-east-1b", "public" } })
end

--- The security groups as data: who may come in where.
function Judges:check_groups()
  local open, doors = {}, {}
  for _, rule in ipairs(self:seen().network.rules) do
    local group, protocol, from, to, peer = table.unpack(rule)
    if peer == "0.0.0.0/0" or peer == "::/0" then open[#open + 1] = rule end
    if group ~= "default" then doors[#doors + 1] = ("%s %s %s-%s from %s"):format(group, protocol, from, to, peer) end
    if from <= 22 and to >= 22 and group ~= "default" then
      test.equal({ group, peer }, { self.name .. "-bastion", self.lab.env.HKRUN_BASTION_SSH_FROM }, "who may try ssh")
    end
    for _, port in ipairs { 5432, 6379 } do
      if from <= port and to >= port and group ~= "default" then
        test.truthy(set { self.name .. "-app", self.name .. "-bastion" }[peer], ("who reaches port %d of %s: %s"):format(port, group, peer))
      end
    end
  end
  for _, rule in ipairs(open) do
    test.truthy(rule[2] == "tcp" and rule[3] == rule[4] and (rule[3] == 80 or rule[3] == 443), "open to everybody: " .. table.concat(rule, " ", 1, 2))
  end
  local all = table.concat(doors, "\n")
  for _, port in ipairs { 22, 5432, 6379 } do test.truthy(all:find(("tcp %d-%d from "):format(port, port), 1, true), "a way to port " .. port) end
end

function Judges:check_database()
  local db = self:seen().database
  test.equal({ db.status, db.engine, db.encrypted, db.public, db.subnets_public, db.port },
    { "available", "postgres", true, false, { false }, 5432 })
  test.truthy(db.backup_days >= 1, "days of backups")
  test.truthy(not set(db.groups).default, "the default security group is not used")
end

function Judges:check_cache()
  local c = self:seen().cache
  test.equal({ c.status, c.engine, c.at_rest, c.in_transit, c.auth, c.maxmemory_policy },
    { "available", "valkey", true, true, true, { "noeviction" } })
end

--- @param keys string[] the config vars that must have come along as secrets
--- @param plain table<string, string> those that are plain
function Judges:check_environment(keys, plain)
  local e = self:seen().environment
  test.equal({ e.status, e.health }, { "Ready", "Green" })
  test.match(e.platform, "Docker running on 64bit Amazon Linux 2023")
  test.truthy(set(e.versions)[e.version], "the version that runs is one that was uploaded")
  for _, key in ipairs(keys) do
    test.match(e.secrets[key] or "", "^arn:aws:secretsmanager:.*:" .. key, key .. " comes from Secrets Manager")
    test.equal(e.plain[key], nil, key .. " as a plain variable")
  end
  for key, value in pairs(plain) do test.equal({ e.plain[key], e.secrets[key] }, { value }, key .. " as a plain variable") end
  local held = self:seen().secrets
  local config = set(type(held[self.name .. "/config"]) == "table" and held[self.name .. "/config"] or {})
  for _, key in ipairs(keys) do test.truthy(config[key], key .. " is a key of the secret") end
  test.equal(held[self.name .. "-bastion-key"], "text")
end

function Judges:check_watching()
  local w = self:seen().watching
  test.equal(w.subscriptions, { { "email", "ops@example.com" } })
  test.equal(#w.topics, 1)
  local watched = {}
  for _, alarm in ipairs(w.alarms) do
    watched[alarm[1]] = true
    test.equal(alarm[4], w.topics, "who is told of " .. alarm[1] .. " " .. alarm[2])
    test.truthy(#alarm[3] > 0, "what " .. alarm[2] .. " is about")
  end
  for _, namespace in ipairs { "AWS/RDS", "AWS/ElastiCache", "AWS/ElasticBeanstalk" } do
    test.truthy(watched[namespace], "an alarm of " .. namespace)
  end
  local groups = 0
  for name, days in pairs(w.log_groups) do
    if name:find(self.name, 1, true) then
      groups = groups + 1
      test.truthy(math.type(days) == "integer", name .. " keeps its lines for a number of days")
    end
  end
  test.truthy(groups > 0, "log groups of the environment")
end

function Judges:check_buckets()
  local mine = 0
  for name, bucket in pairs(self:seen().buckets) do
    if name:find("hkrun-" .. self.name, 1, true) then
      mine = mine + 1
      test.equal(bucket.blocked, { true }, name .. " is closed to the public")
      test.truthy(#bucket.keys > 0, "bundles in " .. name)
    end
  end
  test.equal(mine, 1, "buckets of the app")
end

-- The AWS CLI --------------------------------------------------------------

--- The same facts by another client with its own parsers.
function Judges:check_cli()
  local seen = self:seen()
  test.equal(self:aws("rds", "describe-db-instances", "--db-instance-identifier", self.name,
    "--query", "DBInstances[0].[DBInstanceStatus,StorageEncrypted,PubliclyAccessible,Endpoint.Address]"),
    ("available\tTrue\tFalse\t%s"):format(seen.database.address))
  test.equal(self:aws("elasticache", "describe-replication-groups", "--replication-group-id", self.name,
    "--query", "ReplicationGroups[0].[Status,TransitEncryptionEnabled]"), "available\tTrue")
  test.equal(self:aws("elasticbeanstalk", "describe-environments", "--application-name", self.name, "--no-include-deleted",
    "--query", "Environments[0].[Health,CNAME]"), "Green\t" .. seen.environment.cname)
  test.equal(self:aws("ec2", "describe-vpcs", "--filters", "Name=tag:Name,Values=" .. self.name, "--query", "Vpcs[].CidrBlock"), "10.40.0.0/16")
  test.match(self:aws("cloudwatch", "describe-alarms", "--query", "MetricAlarms[].Namespace"), "AWS/RDS")
end

-- ssh, psql, redis-cli -----------------------------------------------------

--- Everything that OpenSSH needs to log in at the bastion: the key from Secrets Manager, the host key from the console.
function Judges:door()
  if self.ssh then return self.ssh end
  local machine = self:seen().network.machines[self.name .. "-bastion"]
  test.truthy(machine and machine.public, "the bastion's public address")
  local dir = fs.tmpdir "hkrun-judge-"
  test.defer_file(function() fs.rmtree(dir) end)
  local key = self:secret(self.name .. "-bastion-key")
  fs.write(dir .. "/key", key .. "\n", 384)
  local console = self:aws("ec2", "get-console-output", "--instance-id", machine.id, "--query", "Output")
  local host_key = console:match "%-BEGIN SSH HOST KEY KEYS%-.-(ssh%-ed25519 %S+)"
  test.truthy(host_key, "an ssh host key in the console's output")
  local user_config = self.lab.env.HOME .. "/.ssh/config"
  local port = fs.exists(user_config) and fs.read(user_config):match("Host " .. machine.public:gsub("%.", "%%.") .. "\n%s*Port (%d+)") or "22"
  fs.write(dir .. "/known_hosts", ("%s %s\n"):format(port == "22" and machine.public or ("[%s]:%s"):format(machine.public, port), host_key))
  self.ssh = {
    dir = dir, address = machine.public, words = {
      "ssh", "-F", "none", "-p", port, "-i", dir .. "/key", "-o", "IdentitiesOnly=yes", "-o", "UserKnownHostsFile=" .. dir .. "/known_hosts",
      "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20",
      "-o", "LogLevel=ERROR", ("%s@%s"):format(self.lab.env.HKRUN_BASTION_USER or "ec2-user", machine.public) },
  }
  return self.ssh
end

local function with(words, ...)
  local all = table.move(words, 1, #words, 1, {})
  for _, word in ipairs { ... } do all[#all + 1] = word end
  return all
end

function Judges:check_ssh()
  local door = self:door()
  test.equal(self.lab:foreign(with(door.words, "echo $((6*7))")).stdout, "42\n")
  local words = with(door.words, "true")
  for i, word in ipairs(words) do
    if word:find "UserKnownHostsFile" then words[i] = "UserKnownHostsFile=/dev/null" end
  end
  words.may_fail = true
  test.equal(self.lab:foreign(words).code, 255, "exit code of ssh with a host key that nobody vouched for")
end

--- Opens `ssh -L` to a private address; returns the local port.
function Judges:tunnel(address, port)
  local door, here = self:door(), fs.free_port()
  local words = with(door.words)
  local target = table.remove(words)
  for _, word in ipairs { "-N", "-o", "ExitOnForwardFailure=yes", "-L", ("127.0.0.1:%d:%s:%d"):format(here, address, port), target } do
    words[#words + 1] = word
  end
  words.env, words.stdout, words.stderr = self.lab.env, "null", door.dir .. "/tunnel.log"
  local p = process.start(words)
  test.defer(function() p:stop() end)
  local ready = process.run { "sh", "-c", [[for i in $(seq 100); do ss -ltnH "sport = :$1" | grep -q . && exit 0; sleep 0.1; done; exit 1]],
                              "sh", tostring(here), timeout = 30 }
  test.equal(ready.code, 0, "a tunnel: " .. (fs.exists(door.dir .. "/tunnel.log") and fs.read(door.dir .. "/tunnel.log") or ""))
  return here
end

--- psql over the tunnel: certificate and name are verified, the orders are as many as at the source.
---@param sql string a query with one value
function Judges:check_psql(sql)
  local seen, lab = self:seen(), self.lab
  local url = json.decode(self:secret(self.name .. "/config")).DATABASE_URL
  local user, password, host, database = url:match "^postgres[%a]*://([^:]+):([^@]+)@([^:/]+):?%d*/([^?]+)"
  test.equal(host, seen.database.address, "the host in DATABASE_URL")
  local function unquote(s) return (s:gsub("%%(%x%x)", function(h) return string.char(tonumber(h, 16)) end)) end
  local function query(mode, name)
    local env = { PATH = lab.env.PATH, HOME = lab.env.HOME, LANG = "C.UTF-8", PGSSLROOTCERT = lab.env.PGSSLROOTCERT, PGSSLMODE = mode,
                  PGHOST = name, PGHOSTADDR = "127.0.0.1", PGPORT = tostring(self:tunnel(host, 5432)), PGUSER = unquote(user),
                  PGPASSWORD = unquote(password), PGDATABASE = database, PGCONNECT_TIMEOUT = "20" }
    return lab:foreign { "psql", "-X", "-A", "-t", "-c", sql, env = env, may_fail = true }
  end
  local here = query("verify-full", host)
  test.equal(here.code, 0, here.stderr)
  local source = lab:foreign { "psql", "-X", "-A", "-t", "-d", lab.said.HKRUN_REHEARSAL_OLD_DATABASE_URL, "-c", sql }
  test.equal(here.stdout, source.stdout, sql)
  test.truthy(tonumber(source.stdout) > 0, "there are rows at all")
  local wrong = query("verify-full", "db.example.com")
  test.truthy(wrong.code ~= 0 and wrong.stderr:find "does not match host name", "a name that the certificate does not have: " .. wrong.stderr)
  local plain = query("disable", host)
  test.truthy(plain.code ~= 0, "a connection without TLS was refused")
end

-- Argument: a module folder; DATABASE_URL as the app has it, PORT where the tunnel listens.
local NODE_POSTGRES = [[
const { Client } = require(process.argv[1] + '/pg');
async function count(more) {
  const url = new URL(process.env.DATABASE_URL + more);
  url.host = '127.0.0.1:' + process.env.PORT;
  const client = new Client({ connectionString: url.href, ssl: { rejectUnauthorized: false } });
  await client.connect();
  const { rows } = await client.query('SELECT count(*)::int AS n, (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) FROM orders');
  await client.end();
  return rows[0].ssl && rows[0].n;
}
(async () => console.log(await count(''), await count('?sslmode=require').catch((e) => e.code)))();
]]

--- The app's own driver, out of its bundle, with the settings that an app on Heroku has: it connects with the URL that it
--- is given. With sslmode=require in the URL it would not: the certificate would be checked, against roots without RDS's.
---@param orders integer how many it must see
function Judges:check_driver(orders)
  local lab, dir = self.lab, test.tmpdir()
  local bundles = lab.dir .. "/work/.hkrun/bundles"
  for _, name in ipairs(fs.list(bundles)) do
    if name:find "%.zip$" then zip.unpack(fs.join(bundles, name), dir, { links = "skip" }) end
  end
  local url = json.decode(self:secret(self.name .. "/config")).DATABASE_URL
  local env = { PATH = lab.env.PATH, HOME = lab.env.HOME, DATABASE_URL = url, PORT = tostring(self:tunnel(self:seen().database.address, 5432)) }
  local r = lab:foreign { "node", "-e", NODE_POSTGRES, dir .. "/app/node_modules", env = env }
  test.equal(r.stdout, orders .. " UNABLE_TO_VERIFY_LEAF_SIGNATURE\n")
end

--- redis-cli over the tunnel: TLS, the AUTH token, and the keys of the source.
function Judges:check_redis_cli()
  local seen, lab = self:seen(), self.lab
  local url = json.decode(self:secret(self.name .. "/config")).REDIS_URL
  local token, host = url:match "^rediss://[^:]*:([^@]+)@([^:/]+)"
  test.equal(host, seen.cache.address, "the host in REDIS_URL")
  local port = tostring(self:tunnel(host, 6379))
  local function cli(auth, ...)
    local words = { "redis-cli", "--tls", "--cacert", lab.env.SSL_CERT_FILE, "--sni", host, "-h", "127.0.0.1", "-p", port, "--no-auth-warning", ... }
    words.env, words.may_fail = { PATH = lab.env.PATH, HOME = lab.env.HOME, LANG = "C.UTF-8", REDISCLI_AUTH = auth }, true
    return lab:foreign(words)
  end
  test.equal(cli(token, "PING").stdout, "PONG\n")
  test.truthy(tonumber(cli(token, "DBSIZE").stdout) > 0, "keys in the cache")
  test.match(cli(nil, "PING").stdout, "NOAUTH")
end

--- Whether a PostgreSQL or a Redis answers, each greeted in its own language. That a connection is made proves nothing:
--- on some machines a gateway accepts whatever leaves.
local GREET = [[
import socket, ssl, sys
host, port, kind, name, ca = sys.argv[1:]
try:
    s = socket.create_connection((host, int(port)), timeout=3)
    if kind == "postgres":
        s.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
        answer = s.recv(1) in (b"S", b"N")
    else:
        s = ssl.create_default_context(cafile=ca).wrap_socket(s, server_hostname=name)
        s.sendall(b"PING\r\n")
        answer = b"NOAUTH" in s.recv(100)
    print("answers" if answer else "something else answers")
except OSError as e:
    print("no answer")
]]

-- Alarms --------------------------------------------------------------------------

--- Waits for a mail of the rehearsal's with this in it.
function Judges:mail(pattern)
  local folder, stop = self.lab.dir .. "/cloud/mail", task.now() + 90
  repeat
    for _, name in ipairs(fs.list(folder)) do
      local text = name:find "%.eml$" and fs.read(folder .. "/" .. name)        -- else one that is being written
      if text and text:find(pattern) then return text end
    end
    task.sleep(0.1)
  until task.now() > stop
  error("no mail with " .. pattern, 2)
end

--- Follows the link in AWS's mail, as its owner would.
function Judges:confirm(address)
  local topic, token = self:mail("To: " .. address .. ".*Subscription Confirmation"):match "TopicArn=([^&]+)&Token=(%x+)"
  test.truthy(self:aws("sns", "confirm-subscription", "--topic-arn", topic, "--token", token):find(topic, 1, true), "an ARN of the topic's")
end

--- Nobody else can log in at the database while psql's session goes on: the app answers 503, and its alarm is mailed.
function Judges:check_alarm()
  local url = json.decode(self:secret(self.name .. "/config")).DATABASE_URL
  local user, password, host, database = url:match "^postgres[%a]*://([^:]+):([^@]+)@([^:/]+):?%d*/([^?]+)"
  local dir = test.tmpdir()
  local lock = process.start { "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1",
    "-c", ('ALTER DATABASE "%s" CONNECTION LIMIT 0'):format(database),
    "-c", "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid()",
    "-c", "\\! while [ ! -e go ]; do sleep 0.1; done",
    "-c", ('ALTER DATABASE "%s" CONNECTION LIMIT -1'):format(database), cwd = dir, stdout = "null", stderr = dir .. "/said",
    env = { PATH = self.lab.env.PATH, HOME = dir, LANG = "C.UTF-8", PGSSLMODE = "require", PGHOST = "127.0.0.1", PGUSER = user,
            PGPORT = tostring(self:tunnel(host, 5432)), PGPASSWORD = password, PGDATABASE = database } }
  test.defer(function() lock:stop(1) end)
  local mail = self:mail('Subject: ALARM: "' .. self.name .. '%-app%-health"')
  test.match(mail, "To: ops@example.com\n")
  test.match(mail, "5 out of the last 5 datapoints %[25%.0 .* were greater than the threshold %(15%)")
  fs.write(dir .. "/go", "")
  test.equal(lock:wait(20), 0, fs.exists(dir .. "/said") and fs.read(dir .. "/said"))
  self:mail('Subject: OK: "' .. self.name .. '%-app%-health".*"OldStateValue": "ALARM"')
end

--- From outside the private addresses do not answer; through the tunnel they do.
function Judges:check_private()
  local lab = self.lab
  for kind, store in pairs { postgres = self:seen().database, redis = self:seen().cache } do
    local function greet(host, port)
      return lab:foreign { test.tool "python3", "-c", GREET, host, tostring(port), kind, store.address, lab.env.SSL_CERT_FILE }.stdout
    end
    test.equal(greet("127.0.0.1", self:tunnel(store.address, store.port)), "answers\n", kind .. " through the tunnel")
    if lab.isolated then                                     -- else the rehearsal says that its networks are open
      test.truthy(greet(store.address, store.port) ~= "answers\n", kind .. " at " .. store.address .. " answers to the outside")
    end
  end
end

--- The judges of a lab's state.
---@param lab RehearsalLab
---@param name string the name that everything has
return function(lab, name) return setmetatable({ lab = lab, name = name }, Judges) end
