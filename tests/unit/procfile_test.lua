--- Procfile, app.json and heroku.yml: the files of tests/unit/procfiles/ with what is read of each, or refused at which place;
--- a folder's files together; which of them says what runs.
--- After a wanted change write the answers anew: HKRUN_GOLDEN=write ./hkrun test tests/unit/procfile_test.lua
local fs = require "fs"
local json = require "json"
local procfile = require "procfile"
local test = require "test"

local T = test.cases()

-- The files -----------------------------------------------------------------------------------------------------------------

local FOLDER = "tests/unit/procfiles/"
local READERS = { Procfile = procfile.parse, ["app.json"] = procfile.app_json, ["heroku.yml"] = procfile.heroku_yml }

--- What ⟦0D 0A⟧ and ⟦end⟧ stand for.
local function bytes_of(text)
  text = text:gsub("⟦end⟧\n$", "")
  return (text:gsub("⟦([%x ]+)⟧", function(hex) return (hex:gsub("(%x%x) ?", function(x) return string.char(tonumber(x, 16)) end)) end))
end

local function processes_of(list)
  local lines = {}
  for i, e in ipairs(list) do lines[i] = ("%d %s: %s"):format(e.line, e.type, e.command) end
  return lines
end

--- A line for each member that is not empty.
local function members_of(manifest)
  local lines = {}
  for name, value in pairs(manifest) do
    if type(value) ~= "table" or next(value) ~= nil then lines[#lines + 1] = name .. ": " .. json.encode(value) end
  end
  table.sort(lines)
  return #lines > 0 and lines or { "nothing" }
end

local function answer(name, content)
  local ok, result, warnings = pcall(READERS[name], content)
  if not ok then
    test.equal(result.kind, "usage")
    test.equal(result.message:match "^(.-:%d+:%d+): ", ("%s:%d:%d"):format(name, result.line, result.column))
    return "error " .. result.message:sub(#name + 2) .. "\n"
  end
  local lines = name == "Procfile" and processes_of(result) or members_of(result)
  for _, w in ipairs(warnings) do
    test.equal(w.file, name)
    lines[#lines + 1] = ("warning %d:%d: %s"):format(w.line, w.column, w.message)
  end
  return table.concat(lines, "\n") .. "\n"
end

for _, name in ipairs { "Procfile", "app.json", "heroku.yml" } do
  local path = FOLDER .. name .. ".txt"
  for title, content, expected in (fs.read(path) .. "\n"):gmatch "#### ([^\n]+)\n(.-)%-%-%-%-\n(.-\n)\n" do
    T[("%s: %s"):format(name, title)] = function()
      local got = answer(name, bytes_of(content))
      if os.getenv "HKRUN_GOLDEN" == "write" then
        local now, head = fs.read(path), ("#### %s\n%s----\n"):format(title, content)
        local from, to = now:find(head .. expected, 1, true)
        fs.write(path, now:sub(1, from - 1) .. head .. got .. now:sub(to + 1), 420)
      else
        test.equal(got, expected)
      end
    end
  end
end

-- One by one ----------------------------------------------------------------------------------------------------------------

T["a Procfile: the release command stands by itself, all by type"] = function()
  local list = procfile.parse "web: a\nrelease: b\n"
  test.equal(list.release, "b")
  test.equal(list.by_type, { web = "a", release = "b" })
end

T["an environment of app.json replaces the whole of what it names"] = function()
  local base = procfile.app_json [[{ "env": { "A": "1", "B": "2" }, "stack": "heroku-24",
    "environments": { "test": { "env": { "A": "test" }, "addons": [] } }, "addons": ["papertrail"] }]]
  local as_test, as_review = procfile.environment(base, "test"), procfile.environment(base, "review")
  test.equal(as_test.env, { A = { value = "test" } })
  test.equal(as_test.addons, {})
  test.equal(as_test.stack, "heroku-24")
  test.equal(as_review.env, { A = { value = "1" }, B = { value = "2" } })
  test.equal(base.env.B.value, "2")
end

T["a folder's files are read, and errors and warnings name the path"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/Procfile", "web: a\n worker: b\n")
  fs.write(dir .. "/app.json", '{ "nome": "x" }')
  local found = procfile.read(dir)
  test.equal(found.procfile.by_type.web, "a")
  test.equal(found.app_json.addons, {})
  test.equal(found.heroku_yml, nil)
  test.equal(found.warnings[1], { file = dir .. "/Procfile", line = 2, column = 1, message = "spaces stand before the process type" })
  test.match(found.warnings[2].message, "^nome is unknown")
  fs.write(dir .. "/Procfile", "web: a\nb\n")
  test.raises(dir:gsub("%p", "%%%0") .. "/Procfile:2:2: a colon is missing", procfile.read, dir)
end

-- Which says what runs ------------------------------------------------------------------------------------------------------

local BOTH = { procfile = procfile.parse "web: of Procfile\nrelease: migrate\n", heroku_yml = procfile.heroku_yml [[
build: { docker: { web: Dockerfile, mailer: Dockerfile, release: Dockerfile } }
release: { command: ./migrate }
run:
  web: of heroku.yml
  worker: { command: work, image: web }
]] }

T["the container stack runs what heroku.yml says, with whose image"] = function()
  test.equal(procfile.processes(BOTH, { stack = "container", process_types = { web = "of slug" } }), {
    from = "heroku.yml", commands = { web = "of heroku.yml", worker = "work" },
    images = { web = "web", worker = "web", mailer = "mailer" }, release = "./migrate", release_image = "release" })
end

T["another stack runs what the Procfile says"] = function()
  local runs = { from = "Procfile", commands = { web = "of Procfile" }, images = {}, release = "migrate" }
  test.equal(procfile.processes(BOTH, { stack = "heroku-24", process_types = { web = "of slug" } }), runs)
  test.equal(procfile.processes(BOTH), runs)
end

T["without files the slug's process types are the Procfile; without a slug nothing is"] = function()
  local o = { stack = "heroku-24", process_types = { web = "of slug", release = "r" } }
  test.equal(procfile.processes({}, o), { from = "slug", commands = { web = "of slug" }, images = {}, release = "r" })
  test.equal(procfile.processes({}, { stack = "container" }), { commands = {}, images = {} })
end

T["the one file that is there says what runs, whatever the stack"] = function()
  test.equal(procfile.processes({ procfile = BOTH.procfile }, { stack = "container" }).from, "Procfile")
  test.equal(procfile.processes({ heroku_yml = BOTH.heroku_yml }, { stack = "heroku-24" }).from, "heroku.yml")
end

return T
