--- A saved plan: what `hkrun plan R --out FILE` writes and `hkrun apply FILE` carries out, nothing else. It is JSON for
--- people to read. It holds no secret: of one there is a digest, keyed with a random value of this one plan.
--- What the plan was made from is in it, so that apply can say what has changed since: the digests of the recipe's
--- files, the options, how often the recipe had been run, and per thing a digest of each field that was found.
local differences = require "recipe.differences"
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local plain = require "recipe.plain"
local plan = require "recipe.plan"
local secret = require "secret"
local sign = require "sign"
local unknown = require "recipe.unknown"
local version = require "version"

local M = {}
local Saved = {}
Saved.__index = Saved

local FORMAT = 1
local PRIVATE = 384                                          -- 0600

--- A keyed digest of any value. The items of a list count in any order: services answer in any.
local function digest(key, v)
  if unknown.is(v) or type(v) == "function" then return "-" end
  if type(v) == "table" then
    local id = rawget(v, "id")
    if id ~= nil then return digest(key, id) end
    local parts = {}
    for k, x in next, v do parts[#parts + 1] = (#v > 0 and "" or tostring(k) .. "=") .. digest(key, x) end
    table.sort(parts)
    v = "{" .. table.concat(parts, ",") .. "}"
  elseif not secret.is(v) then
    v = tostring(v)
  end
  return sign.hex(sign.hmac(key, v)):sub(1, 32)
end

local function options_of(key, values)
  local r = {}
  for name, v in pairs(values) do r[name] = secret.is(v) and { secret_digest = digest(key, v) } or plain.data(v) end
  return r
end

--- The recipe's own files: itself, the modules beside it that it has loaded, and the file of its options.
local function files_of(r)
  local files = {}
  local function add(path)
    if path and fs.exists(path) then files[path:gsub("^%./", "")] = sign.sha256_file(path) end
  end
  add(r.file)
  add(r.config or "hkrun.yml")
  for name in pairs(package.loaded) do add((package.searchpath(name, package.path))) end
  return files
end

--- Digests of what a read found, by field, and of the secrets that the recipe asks for.
local function digests_of(key, e)
  if not e.of then return nil, nil end
  local found, secrets
  if e.current then
    found = {}
    for _, f in ipairs(e.of.fields) do
      if e.current[f] ~= nil then found[f] = digest(key, e.current[f]) end
    end
  end
  for f, v in pairs(e.spec) do
    if e.of.compare[f] ~= "ignore" and differences.has_secret(v) then
      secrets = secrets or {}
      secrets[f] = digest(key, v)
    end
  end
  return found, secrets
end

local function entries_of(key, r)
  local list = json.array {}
  for i, e in ipairs(r.entries) do
    list[i] = plan.entry(e)
    list[i].found, list[i].secrets = digests_of(key, e)
  end
  return list
end

--- Everything that is saved, as it is after one way through JSON.
local function data(r, key, flags)
  local bytes = json.encode({
    format = FORMAT, hkrun = version, made = os.date "!%Y-%m-%dT%H:%M:%SZ", recipe = r.recipe, target = r.target, file = r.file,
    files = files_of(r), flags = flags, key = key, options = options_of(key, r.options),
    journal = { runs = r.memory.runs }, entries = entries_of(key, r), summary = plan.count(r.entries),
  }, { pretty = true })
  if secret.is(bytes) then errors.raise { op = "save the plan", kind = "bug", message = "there is a secret in it" } end
  return bytes
end

--- Saves a plan; the file is for its owner only.
---@param path string
---@param r table the run that planned, with `keep_found`
---@param o table as from load.arguments
function M.write(path, r, o)
  local flags = { config = o.config, dir = o.dir, ["until"] = o.until_stage, only = o.only_stage, adopt = o.adopt, journal = o.at }
  fs.write(path, data(r, sign.hex(sign.random(16)), flags) .. "\n", PRIVATE)
end

--- Whether the file is JSON, not a recipe.
---@param path string
---@return boolean
function M.is(path)
  local st = fs.stat(path)
  return st ~= nil and st.type ~= "dir" and fs.read(path):find "^%s*{" ~= nil
end

--- Reads a saved plan.
---@param path string
---@return table saved
function M.read(path)
  local t, err = json.decode(fs.read(path))
  if type(t) ~= "table" then errors.usage("%s is no saved plan: %s", path, err and err.message or "not an object") end
  if t.format ~= FORMAT or type(t.entries) ~= "table" or type(t.files) ~= "table" or type(t.file) ~= "string"
    or type(t.options) ~= "table" or type(t.journal) ~= "table" or type(t.key) ~= "string" then
    errors.usage("%s is no saved plan of this hkrun", path)
  end
  t.flags = t.flags or {}
  return setmetatable({ path = path, data = t }, Saved)
end

--- Raises with all that is no longer as the plan says.
local function refuse(self, list)
  if #list == 0 then return end
  local shown = table.concat(list, "; ", 1, math.min(#list, 10))
  if #list > 10 then shown = ("%s; and %d more"):format(shown, #list - 10) end
  errors.raise {
    op = "apply the plan " .. self.path, kind = "stopped", message = "it no longer holds: " .. shown,
    hint = ("make a new one with hkrun plan %s --out %s"):format(self.data.file, self.path),
  }
end

--- Refuses a plan whose recipe, or whose hkrun, is another one now. Nothing of the recipe has run yet.
function Saved:check_files()
  local d, list = self.data, {}
  if d.hkrun ~= version then list[1] = ("it was made by hkrun %s, this is %s"):format(tostring(d.hkrun), version) end
  if not fs.exists(d.file) then errors.usage("there is no recipe %s; apply the plan where it was made", d.file) end
  for path, was in pairs(d.files) do
    if not fs.exists(path) then list[#list + 1] = path .. " is gone"
    elseif sign.sha256_file(path) ~= was then list[#list + 1] = path .. " has changed" end
  end
  table.sort(list)
  refuse(self, list)
end

--- The options of the plan, for those that nobody gives again. Secrets must be given again.
---@return table
function Saved:options()
  local r = {}
  for name, v in pairs(self.data.options) do
    if type(v) ~= "table" or v.secret_digest == nil then r[name] = v end
  end
  return r
end

--- Refuses other options than those of the plan.
---@param values table<string, any>
function Saved:check_options(values)
  refuse(self, differences.options(self.data.options, json.decode(json.encode(options_of(self.data.key, values)))))
end

--- Refuses a plan that is older than the recipe's last run.
function Saved:check_journal(memory)
  local was, last = self.data.journal.runs, memory.last
  if memory.runs == was then return end
  refuse(self, { memory.runs > was and ("the recipe was run since (%s of %s)"):format(last.command or "run", last.at)
    or "the journal that it was made with is not here" })
end

--- Refuses when planning again shows something else.
---@param r table the run that planned now
function Saved:check_plan(r)
  local now, list = json.decode(data(r, self.data.key)), {}
  for path in pairs(now.files) do
    if not self.data.files[path] then list[#list + 1] = path .. " is used now" end
  end
  for _, line in ipairs(differences.entries(self.data.entries, now.entries, r.entries)) do list[#list + 1] = line end
  refuse(self, list)
end

--- Flags of the command line with which the plan was made, and the file of the recipe.
---@param o table as from load.arguments: what the apply was told
---@return table o
function Saved:arguments(o)
  local f = self.data.flags
  for _, name in ipairs { "until_stage", "only_stage", "config", "adopt" } do
    if o[name] then errors.usage("--%s is part of the plan; give it to hkrun plan", (name:gsub("_stage", ""))) end
  end
  o.recipe, o.config, o.until_stage, o.only_stage, o.adopt = self.data.file, f.config, f["until"], f.only, f.adopt
  if not o.dir and not o.at then o.dir, o.at = f.dir, f.journal end
  o.saved = self
  return o
end

return M
