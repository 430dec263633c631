--- What still holds something of the app or of its move when all else is gone: files of this machine, objects in S3, snapshots.
--- Nothing of it does anything or costs much. Each is named, with what it holds, where it is, and how to be rid of it.
local aws = require "aws"
local figures = require "figures"
local fs = require "fs"
local journal = require "journal"
local quoted = require "process.quoted"
local run = require "recipe.run"

local M = {}

local HOME = ".hkrun"                   -- where runs keep what they remember, and what they made of the app
local RECIPE = "heroku_to_aws"

local function bytes_of(path)
  local st, n = fs.stat(path), 0
  if not st or st.type ~= "dir" then return st and st.size or 0 end
  for _, name in ipairs(fs.list(path)) do n = n + bytes_of(fs.join(path, name)) end
  return n
end

local function files_in(dir, wanted)
  local list = {}
  for _, name in ipairs(fs.exists(dir) and fs.list(dir) or {}) do
    if wanted(name) then list[#list + 1] = fs.join(dir, name) end
  end
  table.sort(list)
  return list
end

local function starts(name, with) return name:sub(1, #with) == with end

local KINDS = { journal = "journal, by which destroy and export go", html = "report", md = "report" }

--- Whether a file of HOME is of this app, and holds something: "RECIPE.APP.journal", "RECIPE.APP%2EREGION.html".
local function is_of(app)
  local plain = journal.name(app):gsub("%p", "%%%0")
  return function(name) return name:find("^[%w_%-]+%." .. plain .. "%f[%%.]") ~= nil and KINDS[name:match "%.(%w+)$"] ~= nil end
end

--- Folders here that `hkrun export terraform` has written.
local function is_export(dir)
  for _, path in ipairs(files_in(dir, function(name) return name:find "%.tf$" ~= nil end)) do
    if starts(fs.read(path), "# Written by hkrun export terraform of " .. RECIPE) then return true end
  end
  return false
end

---@param app string its name on Heroku
---@param name string that of everything on AWS
---@param backup_dir string
local function on_this_machine(app, name, backup_dir, rows)
  local function add(what, path)
    local is_dir = fs.stat(path).type == "dir"
    rows[#rows + 1] = { what, path, figures.amount(bytes_of(path), "bytes"), (is_dir and "rm -r " or "rm ") .. quoted(path) }
  end
  for _, path in ipairs(files_in(backup_dir, function(f) return starts(f, app .. "-") and f:find "%.dump$" ~= nil end)) do
    add("dump of the database", path)
  end
  local dir = run.current("decommission").dir or HOME
  for _, path in ipairs(files_in(dir, is_of(app))) do add(KINDS[path:match "%.(%w+)$"], path) end
  for _, path in ipairs(files_in(HOME, function(f) return starts(f, name .. ".redis-") end)) do add("how far Redis was copied", path) end
  for _, dir_of in ipairs { { "the app's code, as it was uploaded", HOME .. "/bundles" }, { "workflows for GitHub", HOME .. "/github/" .. name } } do
    if fs.exists(dir_of[2]) and bytes_of(dir_of[2]) > 0 then add(dir_of[1], dir_of[2]) end
  end
  local function exported(f) return fs.stat(f).type == "dir" and is_export(f) end
  for _, path in ipairs(files_in(".", exported)) do add("exported Terraform: yours from now on", path) end
end

--- The journals that are in S3, where this one is.
local function journals_in_s3(app, rows)
  local at = run.current("decommission").at
  if not at then return end
  local function add(url) rows[#rows + 1] = { KINDS.journal, url, "", "aws s3 rm " .. url } end
  local folder = at:match "^(s3://[^/]+)/?$" or at:match "^(.*)/$"
  if not folder then return add(at) end
  for _, recipe in ipairs { RECIPE, "decommission" } do
    for _, name in ipairs(journal.list(recipe, { at = folder .. "/" })) do
      if is_of(app)(name .. ".journal") then add(("%s/%s.journal"):format(folder, name)) end
    end
  end
end

local function bucket_rows(name, rows)
  for _, bucket in ipairs(aws.s3:list_buckets({}).Buckets or {}) do
    if starts(bucket.Name, ("hkrun-%s-"):format(name)) and bucket.Name:find("^" .. ("%d"):rep(12) .. "%-", #name + 8) then
      local count, bytes = 0, 0
      for object in aws.s3:each("list_objects_v2", { Bucket = bucket.Name }) do count, bytes = count + 1, bytes + object.Size end
      rows[#rows + 1] = { "versions of the app: Elastic Beanstalk starts machines from them", "s3://" .. bucket.Name,
        ("%d objects, %s"):format(count, figures.amount(bytes, "bytes")), "not while the app runs there; `hkrun destroy` of the move deletes it" }
    end
  end
end

local function snapshot_rows(name, rows)
  local function add(what, id, of, remedy)
    if of == name or starts(of, name .. "-") then rows[#rows + 1] = { what, id, "", remedy .. id } end
  end
  for s in aws.rds:each("describe_db_snapshots", { SnapshotType = "manual" }) do
    add("snapshot of a database", s.DBSnapshotIdentifier, s.DBInstanceIdentifier, "aws rds delete-db-snapshot --db-snapshot-identifier ")
  end
  for s in aws.elasticache:each("describe_snapshots", { SnapshotSource = "user" }) do
    add("snapshot of a cache", s.SnapshotName, s.ReplicationGroupId or s.CacheClusterId, "aws elasticache delete-snapshot --snapshot-name ")
  end
end

--- The table of all that is kept.
---@param app string its name on Heroku
---@param name string that of everything on AWS
---@param backup_dir string
---@return table[] rows
function M.list(app, name, backup_dir)
  local rows = { { "what", "where", "how much", "to delete it" } }
  on_this_machine(app, name, backup_dir, rows)
  journals_in_s3(app, rows)
  bucket_rows(name, rows)
  snapshot_rows(name, rows)
  return rows
end

return M
