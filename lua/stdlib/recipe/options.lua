--- A recipe's options: from --flags, the environment (HKRUN_NAME), a YAML file, the last run, the default; in this order.
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local lib = require "options"
local log = require "log"
local plain = require "recipe.plain"
local secret = require "secret"
local term = require "term"
local unknown = require "recipe.unknown"
local wrap = require "wrap"

local M = {}

--- Flags of the command itself; a recipe cannot have options of these names.
M.reserved = { "yes", "json", "config", "until", "only", "adopt", "out", "help", "dir", "journal", "detailed_exitcode",
               "no_final_snapshot", "accept_loss", "destroy" }

local types = { string = true, integer = true, number = true, boolean = true, list = true, table = true, secret = true }

local FIELDS = { "type", "default", "required", "one_of", "check", "target", "use" }
local known = { group = true }                               -- that one is ours: the heading that it stands under
for _, f in ipairs(FIELDS) do known[f] = true end

local function flag_name(name) return "--" .. name:gsub("_", "-") end

local function refuse_flag(word, names)
  local flags = {}
  for i, n in ipairs(names) do flags[i] = n end
  for _, n in ipairs(M.reserved) do flags[#flags + 1] = n end
  local name = word:gsub("^%-+", ""):gsub("=.*$", ""):gsub("%-", "_")
  local near = lib.nearest(name, flags)
  errors.usage("unknown option %s%s", word:gsub("=.*$", ""), near and " (did you mean " .. flag_name(near) .. "?)" or "")
end

--- For recipes without options: refuses what is left on the command line.
function M.none(args)
  if args[1] then refuse_flag(args[1], {}) end
end

local function from_flags(args, declared, names)
  local given, i = {}, 1
  while i <= #args do
    local word = args[i]
    local name, value = word:match "^%-%-([^=]+)=(.*)$"
    if not name then name = word:match "^%-%-(.+)$" end
    if not name then errors.usage("%s is not an option; options begin with --", word) end
    name = name:gsub("-", "_")
    local d = declared[name]
    local negated = not d and name:match "^no_(.+)$"
    if negated and declared[negated] and declared[negated].type == "boolean" and value == nil then
      given[negated] = "false"
    elseif not d and name:find "_fd$" and (declared[name:sub(1, -4)] or {}).type == "secret" then
      if value == nil then i, value = i + 1, args[i + 1] end
      local fd = math.tointeger(tonumber(value))
      if not fd or fd < 0 then errors.usage("%s needs the number of a descriptor", word) end
      given[name:sub(1, -4)] = errors.check("read " .. flag_name(name), term.from_fd(fd))
    elseif not d then
      refuse_flag(word, names)
    elseif d.type == "secret" then
      errors.usage("%s is a secret: give it in the environment (HKRUN_%s), on a descriptor (%s-fd N) or when asked",
        flag_name(name), name:upper(), flag_name(name))
    elseif d.type == "boolean" and value == nil then
      given[name] = "true"
    else
      if value == nil then
        i = i + 1
        value = args[i]
        if value == nil then errors.usage("%s needs a value", word) end
      end
      given[name] = value
    end
    i = i + 1
  end
  return given
end

local FILE = "hkrun.yml"

--- What a YAML file says; without --config it need not be there.
local function read_file(path, asked)
  if not asked and not fs.exists(path) then return {} end
  if not fs.exists(path) then errors.usage("the file %s of --config is not there", path) end
  local values, err = require("yaml").decode(fs.read(path))
  if err then errors.usage("%s: %s", path, err.message) end
  if values == nil then return {} end
  if type(values) ~= "table" or #values > 0 then errors.usage("%s must hold names and values", path) end
  return values
end

--- Where the journal is: --journal, HKRUN_JOURNAL, or `journal` in the YAML file; nil for the usual folder.
---@param o { journal?: string, config?: string, dir?: string }
---@return string?
function M.journal(o)
  if o.journal or o.dir then return o.journal end
  local env = os.getenv "HKRUN_JOURNAL"
  if env and env ~= "" then return env end
  local said = read_file(o.config or FILE, o.config ~= nil).journal
  if said ~= nil and type(said) ~= "string" then errors.usage("%s: journal must be s3://bucket/key or a folder", o.config or FILE) end
  return said
end

local function from_file(path, asked, declared, names)
  local values, given = read_file(path, asked), {}
  values.journal = nil
  for name, v in pairs(values) do
    local d = declared[tostring(name):gsub("-", "_")]
    if not d then errors.usage("%s: unknown option %s%s", path, tostring(name), lib.suggestion(tostring(name), names)) end
    if d.type == "secret" then errors.usage("%s: %s is a secret and does not belong into a file", path, d[1]) end
    if v ~= json.null then given[d[1]] = v end
  end
  return given
end

--- Values that a program gives, in place of flags, environment and file.
local function from_program(values, declared, names)
  for name in pairs(values) do
    if not declared[name] then errors.usage("the recipe has no option %s%s", tostring(name), lib.suggestion(tostring(name), names)) end
  end
  return function(d) return values[d[1]] end
end

local function bad(d, v, why)
  errors.usage("%s: %s%s", flag_name(d[1]), secret.is(v) and "" or plain.show(v) .. (why:find "^:" and "" or " "), why)
end

local function convert(d, v)
  local want = d.type
  if want == "secret" then return secret.is(v) and v or secret.new(tostring(v)) end
  if type(v) == "string" then
    if want == "integer" then
      local n = math.tointeger(tonumber(v))
      if not n then bad(d, v, "is not a whole number") end
      return n
    elseif want == "number" then
      return tonumber(v) or bad(d, v, "is not a number")
    elseif want == "boolean" then
      local b = ({ ["true"] = true, yes = true, on = true, ["1"] = true, ["false"] = false, no = false, off = false,
        ["0"] = false })[v:lower()]
      if b == nil then bad(d, v, "is neither true nor false") end
      return b
    elseif want == "list" then
      local list = {}
      for item in v:gmatch "[^,]+" do list[#list + 1] = item:match "^%s*(.-)%s*$" end
      return list
    elseif want == "table" then
      bad(d, v, "must be a table in the --config file")
    end
    return v
  end
  if want == "string" and type(v) == "number" then return tostring(v) end
  if want == "integer" and math.tointeger(v) then return math.tointeger(v) end
  if want == "list" and type(v) == "table" and (#v > 0 or next(v) == nil) then return v end
  if type(v) ~= want then bad(d, v, "is not a " .. want) end
  return v
end

local function verify(d, v)
  if d.one_of then
    local ok = false
    for _, x in ipairs(d.one_of) do ok = ok or x == v end
    if not ok then
      local choices = {}
      for i, x in ipairs(d.one_of) do choices[i] = tostring(x) end
      bad(d, v, "is not one of " .. table.concat(choices, ", ") .. lib.suggestion(tostring(v), choices))
    end
  end
  if d.check then
    local why = d.check(v)
    if why then bad(d, v, ": " .. tostring(why)) end
  end
end

local function index(declared)
  local by_name, names = {}, {}
  for _, d in ipairs(declared) do
    local name = d[1]
    if type(name) ~= "string" or not name:find "^[a-z][a-z0-9_]*$" then
      errors.usage("recipe.options: %s is not a name (lower-case letters, digits, _)", tostring(name))
    end
    for _, r in ipairs(M.reserved) do
      if r == name then errors.usage("recipe.options: %s is an option of hkrun itself", name) end
    end
    if by_name[name] then errors.usage("recipe.options: %s is declared twice", name) end
    for field in pairs(d) do
      if type(field) == "string" and not known[field] then
        errors.usage("recipe.options: %s has the unknown field %s%s", name, field, lib.suggestion(field, FIELDS))
      end
    end
    d.type = d.type or (d.default ~= nil and (math.type(d.default) == "integer" and "integer" or type(d.default))) or "string"
    if not types[d.type] then errors.usage("recipe.options: %s has the unknown type %s", name, tostring(d.type)) end
    by_name[name] = d
    names[#names + 1] = name
  end
  for _, d in ipairs(declared) do
    local other = type(d.required) == "string" and d.required
    if other and not by_name[other] then errors.usage("recipe.options: %s is required with %s, which is not declared", d[1], other) end
  end
  return by_name, names
end

--- The options of what a recipe declares: a string in it is the heading of those that follow, which --help prints.
---@param declared (table|string)[]
---@return table[]
function M.rows(declared)
  local rows, group = {}, nil
  for i, d in ipairs(declared) do
    if type(d) == "string" then group = d
    elseif type(d) ~= "table" then errors.usage("recipe.options: entry %d is neither an option nor a heading, but a %s", i, type(d))
    else
      d.group = group
      rows[#rows + 1] = d
    end
  end
  return rows
end

--- Lets values raise where a name is read that is not declared: it would be nil, and the recipe would go on.
---@param values table
---@param declared table[]
---@return table values
function M.strict(values, declared)
  local names, is_declared = {}, {}
  for i, d in ipairs(declared) do names[i], is_declared[d[1]] = d[1], true end
  return setmetatable(values, { __index = function(_, name)
    if is_declared[name] or type(name) ~= "string" then return nil end
    local near = lib.nearest(name, names)
    errors.raise {
      kind = "usage", mistake = true,
      message = ("there is no option %s%s"):format(name, near and ("; did you mean %s?"):format(near) or ": recipe.options does not declare it"),
    }
  end })
end

--- When an option is needed, in words.
local function when_needed(d, by_name)
  local other = type(d.required) == "string" and by_name[d.required]
  if not other then return "" end
  return other.type == "boolean" and other.default and (" unless %s=false"):format(flag_name(other[1])) or " with " .. flag_name(other[1])
end

--- Refuses where an option that is needed was not given; where nothing is made it is unknown.
local function need_all(declared, values, by_name, makes_nothing)
  for _, d in ipairs(declared) do
    local must = d.required
    if type(must) == "string" then must = values[must] end
    if must and values[d[1]] == nil then
      if not makes_nothing then errors.usage("%s is needed%s: %s", flag_name(d[1]), when_needed(d, by_name), d[2] or "") end
      values[d[1]] = unknown.new("the option " .. flag_name(d[1]))
    end
  end
end

--- Fills the declared options. What is needed only to make things is unknown where it is not given and nothing is made.
---@param declared table[]
---@param o table `{ args=, config=, earlier=, only_target=, makes_nothing= }`; `args.given`: the values themselves, and nothing else counts
---@return table values
---@return string target the values of the options that name the journal, joined by "."
function M.fill(declared, o)
  local by_name, names = index(declared)
  local given = o.args and o.args.given
  local flags = from_flags(o.args or {}, by_name, names)
  local file = given and {} or from_file(o.config or FILE, o.config ~= nil, by_name, names)
  local told = given and from_program(given, by_name, names) or function(d)
    local v = flags[d[1]]
    if v ~= nil then return v end
    local env = "HKRUN_" .. d[1]:upper()
    if d.type == "secret" then v = term.env(env) else v = os.getenv(env) end
    if v ~= nil and (v ~= "" or d.type == "string") then return v end
    return file[d[1]]
  end
  local target, values = {}, {}
  for _, d in ipairs(declared) do
    if d.target then
      local v = told(d)
      if v == nil then v = d.default end
      target[#target + 1] = v ~= nil and tostring(v) or nil
      if v == nil then target.missing = true end
    end
  end
  local earlier = o.earlier and o.earlier(not target.missing and table.concat(target, ".") or nil) or {}
  target = {}
  for _, d in ipairs(declared) do
    local name, v = d[1], told(d)
    if v == nil then v = earlier[name] end
    if v == nil then v = d.default end
    if v == nil and d.required == true and d.type == "secret" and not o.only_target and not o.makes_nothing and term.interactive() then
      v = term.password((d[2] or name) .. ": ")
    end
    if v == nil then
      if d.target then errors.usage("%s is needed: %s", flag_name(name), d[2] or "") end
    else
      v = convert(d, v)
      verify(d, v)
      values[name] = v
    end
    if d.target then target[#target + 1] = tostring(values[name]) end
  end
  if not o.only_target then need_all(declared, values, by_name, o.makes_nothing) end
  return values, table.concat(target, ".")
end

--- The options as `hkrun RECIPE --help` prints them.
---@param declared table[]
---@param wide? integer columns of the terminal
---@return string[] lines
function M.help(declared, wide)
  local by_name = index(declared)
  local left, width = {}, 0
  for i, d in ipairs(declared) do
    left[i] = flag_name(d[1]) .. (d.type == "secret" and "-fd N" or d.type ~= "boolean" and " " .. d.type:upper() or "")
    width = math.max(width, #left[i])
  end
  local lines, group = {}, nil
  for i, d in ipairs(declared) do
    if d.group ~= group then
      group = d.group
      lines[#lines + 1] = ""
      lines[#lines + 1] = log.color("bold", group, 1)
    end
    local notes = {}
    if d.one_of then
      local c = {}
      for j, x in ipairs(d.one_of) do c[j] = tostring(x) end
      notes[#notes + 1] = "one of " .. table.concat(c, ", ")
    end
    if d.default ~= nil then notes[#notes + 1] = "default " .. plain.show(d.default) end
    if (d.required or d.target) and d.default == nil then notes[#notes + 1] = "needed" .. when_needed(d, by_name) end
    if d.type == "secret" then notes[#notes + 1] = "or HKRUN_" .. d[1]:upper() .. ", or asked for" end
    local words = (d[2] or "") .. (#notes > 0 and " (" .. table.concat(notes, "; ") .. ")" or "")
    words = words:gsub("%) %(([^()]*%))$", "; %1")           -- one pair of brackets is enough
    local start = ("  %-" .. width .. "s  "):format(left[i])
    for _, line in ipairs(wide and wrap.line(start .. words, wide, (" "):rep(wide - #start >= 20 and #start or 6)) or { start .. words }) do
      lines[#lines + 1] = line
    end
  end
  return lines
end

return M
