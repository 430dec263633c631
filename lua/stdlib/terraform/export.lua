--- What a recipe has made, as Terraform's files: a resource and an import block for each thing. Reads only.
local effects = require "recipe.effects"
local hcl = require "terraform.hcl"
local json = require "json"
local kinds = require "recipe.kind"
local secret = require "secret"
local task = require "task"
local types = require "terraform.types"
local unknown = require "recipe.unknown"

local M = {}

--- One noun on its way into a file: kind, name, type, label, body, import id, parts.
local Thing = {}
Thing.__index = Thing

--- A name as HCL takes it, different from those that are taken.
---@param taken table<string, boolean>
---@param type string
---@param name string
---@return string
function M.label(taken, type, name)
  local label = name:gsub("[^%w]+", "_"):gsub("^_+", ""):gsub("_+$", ""):lower()
  if label == "" or label:find "^%d" then label = "_" .. label end
  local free, n = label, 1
  while taken[type .. "." .. free] do
    n = n + 1
    free = label .. "_" .. n
  end
  taken[type .. "." .. free] = true
  return free
end

--- Whether a value may stand in a file.
local function is_plain(v) return not (secret.is(v) or unknown.is(v)) end

--- The thing as it is, over what the recipe asked for; without secrets.
local function fields_of(noun, current)
  local v = { asked = noun.spec }
  for _, source in ipairs { noun.spec, current } do
    for field, value in next, source do
      if is_plain(value) then v[field] = value end
    end
  end
  v.name = noun.spec.name
  return v
end

--- Reads one noun of the journal.
---@return table? thing
---@return string? why there is none
local function look(r, n)
  if not n.id then return nil, "whether it was made is not known: apply again" end
  local entry = types[n.kind]
  if not entry then return nil, "hkrun knows no resource type of Terraform for it" end
  if entry.none then return nil, entry.none end
  local noun = effects.noun(r, kinds.find(n.kind), n.spec, n.key)
  local current = effects.read(noun)
  if not current or current.deleting then return nil, "it is gone" end
  local thing = setmetatable({ key = n.key, kind = n.kind, entry = entry, stage = n.stage, parts = {} }, Thing)
  thing.v = fields_of(noun, current)
  if entry.read then
    local more, why = entry.read(thing.v, n.spec)
    if not more then return nil, why end
    for field, value in pairs(more) do thing.v[field] = value end
  end
  thing.import = entry.import:gsub("{([%w_]+)}", function(field) return tostring(thing.v[field]) end)
  return thing
end

--- Which HCL stands for which value: ids, ARNs, endpoints. Short words are no references: they could mean anything.
local function references(things)
  local list = {}
  for _, thing in ipairs(things) do
    local given = {}
    for field, attribute in pairs(thing.entry.gives or { id = "id", arn = "arn" }) do
      local value = thing.v[field]
      if type(value) == "string" and #value >= 8 and not given[value] then
        given[value] = true
        list[#list + 1] = { value = value, thing = thing, text = thing.address .. "." .. attribute }
      end
    end
  end
  table.sort(list, function(a, b)
    if #a.value ~= #b.value then return #a.value > #b.value end
    return a.text < b.text
  end)
  return list
end

--- Makes `refer` of hcl.block: the reference that stands for a string, alone or inside of it.
local function referrer(list, own)
  return function(s)
    if #s < 8 then return nil end
    local marks, found = s, {}
    for _, ref in ipairs(list) do
      if ref.thing ~= own then
        local first, last = marks:find(ref.value, 1, true)
        while first do
          local is_part = marks:find("^[%w_%-]", last + 1) or marks:sub(first - 1, first - 1):find "[%w_%-]"     -- of another name
          if not is_part then
            found[#found + 1] = ref.text
            marks = marks:sub(1, first - 1) .. "\0" .. string.char(#found) .. marks:sub(last + 1)
            last = first + 1
          end
          first, last = marks:find(ref.value, last + 1, true)
        end
      end
    end
    if #found == 0 or #found > 30 then return nil end
    if marks == "\0\1" then return found[1] end
    local out, at = {}, 1
    for before, n, after in marks:gmatch "()%z(.)()" do
      out[#out + 1] = hcl.escape(marks:sub(at, before - 1))
      out[#out + 1] = "${" .. found[n:byte()] .. "}"
      at = after
    end
    return '"' .. table.concat(out) .. hcl.escape(marks:sub(at)) .. '"'
  end
end

--- A reference to the noun of that kind and name; the name where the recipe has not made it.
---@param kind string
---@param name string
---@param attribute? string in place of the type's `named`
function Thing:named(kind, name, attribute)
  for _, other in ipairs(self.all) do
    if other.kind == kind and other.v.name == name then
      return hcl.expression(("%s.%s"):format(other.address, attribute or other.entry.named))
    end
  end
  return name
end

--- The label of the thing that has this id, or the id.
---@param id string
---@return string
function Thing:name_of(id)
  for _, other in ipairs(self.all) do
    if other.v.id == id then return other.label end
  end
  return id
end

--- A resource that the noun has beside its first.
function Thing:part(type, suffix, import, body)
  local label = M.label(self.taken, type, suffix == "" and self.label or self.label .. "_" .. suffix)
  self.parts[#self.parts + 1] = { type = type, label = label, address = type .. "." .. label, import = import, body = body }
end

--- JSON text as jsonencode({ ... }) where that writes the same text; else, unless another order is no difference, as it is.
---@param text string
---@param in_any_order? boolean
function Thing.document(_, text, in_any_order)
  local value = json.decode(text)
  if type(value) ~= "table" or not in_any_order and json.encode(value) ~= text or text:find "[<>&]" then return text end
  return hcl.json(value)
end

--- `lifecycle` of what Terraform leaves alone.
local function ignoring(ignore)
  if not ignore then return nil end
  if ignore == "all" then return hcl.blocks { { "ignore_changes", hcl.expression "all" } } end
  return hcl.blocks { { "ignore_changes", hcl.expression("[" .. table.concat(ignore, ", ") .. "]") } }
end

local function resource(r, refer) return hcl.block({ "resource", r.type, r.label }, r.body, refer) end

local function import_of(r)
  return hcl.block({ "import" }, { { "to", hcl.expression(r.address) }, { "id", r.import } })
end

--- The file that a stage's things go into.
---@param stage string?
---@return string
function M.file_of(stage)
  local name = (stage or "main"):lower():gsub("[^%w]+", "_"):gsub("^_+", ""):gsub("_+$", "")
  if name == "" then name = "main" end
  if name == "provider" or name == "imports" or name == "variables" then name = name .. "_stage" end
  return name .. ".tf"
end

local function add(files, name, text)
  local file = files[name]
  if not file then
    file = {}
    files[name] = file
  end
  file[#file + 1] = text
end

local function settings(files, region)
  add(files, "provider.tf", hcl.block({ "terraform" }, {
    { "required_version", ">= 1.5" },
    { "required_providers", hcl.blocks { { "aws", { source = "hashicorp/aws", version = types.provider } } } },
  }))
  add(files, "provider.tf", hcl.block({ "provider", "aws" }, { { "region", hcl.expression "var.region" } }))
  add(files, "variables.tf", hcl.block({ "variable", "region" }, {
    { "description", "AWS region that all this is in" }, { "type", hcl.expression "string" }, { "default", region },
  }))
end

--- Reads what the journal knows, and writes it as files.
---@param r table a run whose options are known (recipe.load)
---@param region string
---@return table<string, string> files text by name
---@return { key: string, why: string }[] left what has no counterpart, or none that can be imported
---@return integer count resources
function M.files(r, region)
  local things, left, taken, files, count = {}, {}, {}, {}, 0
  local looked = task.map(r.memory.order, function(key)
    local thing, why = look(r, r.memory.nouns[key])
    return { thing = thing, why = why }
  end, { limit = 8 })
  for i, key in ipairs(r.memory.order) do
    local thing = looked[i].thing
    if thing then
      thing.type, thing.all, thing.taken = thing.entry.type, things, taken
      thing.label = M.label(taken, thing.type, thing.v.name)
      thing.address = thing.type .. "." .. thing.label
      things[#things + 1] = thing
    else
      left[#left + 1] = { key = key, why = looked[i].why, file = M.file_of(r.memory.nouns[key].stage) }
    end
  end
  settings(files, region)
  local list = references(things)
  for _, thing in ipairs(things) do
    thing.body = thing.entry.body(thing.v, thing)
    thing.body[#thing.body + 1] = { "lifecycle", ignoring(thing.entry.ignore) }
    local file = M.file_of(thing.stage)
    local text = resource(thing, referrer(list, thing))
    add(files, file, thing.entry.note and ("# %s\n%s"):format(thing.entry.note, text) or text)
    add(files, "imports.tf", import_of(thing))
    count = count + 1 + #thing.parts
    for _, part in ipairs(thing.parts) do
      add(files, file, resource(part, referrer(list)))
      add(files, "imports.tf", import_of(part))
    end
  end
  for _, x in ipairs(left) do add(files, x.file, ("# Not here: %s: %s.\n"):format(x.key:gsub(":", " ", 1), x.why)) end
  for name, blocks in pairs(files) do files[name] = table.concat(blocks, "\n") end
  return files, left, count
end

return M
