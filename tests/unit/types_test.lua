--- hkrun types: the type files are Lua, and know every noun, option and function that the recipes use.
local fs = require "fs"
local modules = require "editor.modules"
local types = require "command.types"
local log = require "log"
local nouns = require "editor.nouns"
local json = require "json"
local test = require "test"
local T = test.cases()

--- Runs the command on a folder; what it printed.
local function written(dir)
  local lines, sink = {}, log.sink
  log.sink = function(_, line) lines[#lines + 1] = line end
  local ok, e = pcall(types.main, { dir })
  log.sink = sink
  if not ok then error(e, 0) end
  return table.concat(lines, "\n")
end

local function recipes()
  local list = {}
  for _, dir in ipairs { "recipes", "recipes/examples", "recipes/heroku_to_aws", "recipes/decommission", "recipes/audit" } do
    for _, name in ipairs(fs.list(dir)) do
      if name:find "%.lua$" and not name:find "_test%.lua$" then list[#list + 1] = fs.join(dir, name) end
    end
  end
  return list
end

T["each public module has a file that is Lua, and the settings name the folder; settings of one's own stay"] = function()
  local dir = test.tmpdir()
  test.match(written(dir), "tells the editor where they are")
  for _, m in ipairs(modules) do
    local text = fs.read(("%s/.hkrun/types/%s.lua"):format(dir, m[1]))
    test.match(text, "^%-%-%-@meta " .. m[1] .. "\n")
    local chunk, err = load(text, "=" .. m[1], "t")
    test.truthy(chunk, err)
  end
  test.equal(json.decode(fs.read(dir .. "/.luarc.json"))["workspace.library"][1], ".hkrun/types")
  fs.write(dir .. "/.luarc.json", "{}")
  test.match(written(dir), "is there already; its workspace%.library must have")
  test.equal(fs.read(dir .. "/.luarc.json"), "{}")
end

T["every function of a public module that a recipe calls is declared, and every service"] = function()
  local dir, texts = test.tmpdir(), {}
  written(dir)
  for _, m in ipairs(modules) do texts[m[1]] = fs.read(("%s/.hkrun/types/%s.lua"):format(dir, m[1])) end
  local n = 0
  for _, path in ipairs(recipes()) do
    local source = fs.read(path):gsub("%-%-[^\n]*", ""):gsub('"[^"\n]*"', '""')
    for _, m in ipairs(modules) do
      local name = m[1]
      if fs.read(path):find(('require "%s"'):format(name), 1, true) then
        for field in source:gmatch("%f[%w_.]" .. name .. "%.([%a_][%w_]*)%s*[({\"%[:]") do
          n = n + 1
          test.truthy(texts[name]:find("M." .. field, 1, true) or texts[name]:find("@field " .. field .. " ", 1, true),
            ("%s: %s.%s is not in the type files"):format(path, name, field))
        end
      end
    end
  end
  test.truthy(n > 300, "many calls were looked at")
end

T["a noun's options are fields with their types, one of few words where it takes no others; what it gives has its outputs"] = function()
  local text = table.concat(nouns.all(), "\n")
  test.match(text, "%-%-%-@class aws%.subnet%.Spec\n%-%-%-@field %[1%] string its name\n%-%-%-@field vpc any the VPC or its id\n")
  test.match(text, "%-%-%-@field public%? boolean instances get a public address\n")
  test.match(text, '%-%-%-@field protocol%? string email, sqs, https')
  test.match(text, '%-%-%-@field statistic%? "Average"|"Sum"|"Minimum"')
  test.match(text, "%-%-%-@class aws%.db_instance%.Noun\n.-%-%-%-@field endpoint any\n")
  test.match(text, "%-%-%-@param spec aws%.network%.Spec\n%-%-%-@return { id: string, name: string, cidr: string")
  test.match(text, "%-%-%-@return Environment\nfunction M%.environment%(spec%) end")
  local classes = table.concat((nouns.clients()), "\n")
  test.match(classes, "%-%-%-@field describe_db_instances fun%(self: aws%.Client")
end

return T
