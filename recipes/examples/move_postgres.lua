--- Moves one PostgreSQL database, such as Heroku Postgres, to RDS, and leaves the app where it is. Makes a private network,
--- the instance and a bastion, copies every table through the bastion, and compares both sides row by row. Stop whatever
--- writes to the source first. Killed or failed, it goes on when it is run again.
---
---     HKRUN_FROM="$(heroku config:get DATABASE_URL -a shop)" \
---       hkrun recipes/examples/move_postgres.lua --name shop --ssh-from 203.0.113.7/32
---
--- It ends with
---
---     Equal on both sides
---       table          rows  checksum
---       public.orders  1000  1c0f5d7e9a3b2c4d
---     New database
---       address  shop.c0ffee.us-east-1.rds.amazonaws.com
---       URL      arn:aws:secretsmanager:us-east-1:123456789012:secret:shop-database-url-Ab12Cd
local recipe, aws, pg = require "recipe", require "aws", require "pg"

local opt = recipe.options {
  { "name", "what to call all of it", target = true },
  { "from", "URL of the database to move", type = "secret", required = true },
  { "ssh_from", "who may reach the bastion: your own address, as 203.0.113.7/32", required = true },
  { "region", "AWS region", default = "us-east-1", use = function(v) aws.use { region = v } end },
  { "version", "major version of PostgreSQL: that of the source, or newer", default = "16" },
  { "class", "size of the instance", default = "db.t4g.micro" },
  { "gigabytes", "its storage", default = 20 },
  { "final_snapshot", "destroy keeps a snapshot of the database", default = true },
  { "bastion_user", "who to log in as on the bastion", default = "ec2-user" },
}

recipe.stage "network"
local net = aws.network { opt.name, cidr = "10.40.0.0/16", zones = 2 }
local bastion = aws.bastion { opt.name, network = net, ssh_from = opt.ssh_from, user = opt.bastion_user }

recipe.stage "database"
local db = aws.postgres { opt.name, network = net, allow = { bastion.group }, version = opt.version, class = opt.class,
                          gigabytes = opt.gigabytes, final_snapshot = opt.final_snapshot }
local url = aws.secret { opt.name .. "-database-url", value = db.url, description = "URL of the database " .. opt.name }

recipe.stage "copy"
local rows = recipe.once("copy and compare", function()
  local session <close> = bastion:open()
  local to = { url = db.url, via = session }
  for _, f in ipairs(pg.check { from = opt.from, to = to }) do
    recipe.need(f.severity ~= "error", "%s; %s", f.message, f.remedy)
  end
  pg.copy { from = opt.from, to = to, restart = true }
  local list = { { "table", "rows", "checksum" } }
  local same = pg.same { opt.from, to, tolerate = { "database", "role", "extension schema", "extension version" } }
  for _, t in ipairs(same) do list[#list + 1] = { t.table, t.rows_a, tostring(t.checksum_a) } end
  return list
end)
if not recipe.is_unknown(rows) then recipe.report("Equal on both sides", rows, { head = true }) end
recipe.report("New database", { { "address", db.endpoint }, { "URL", url.arn } })
