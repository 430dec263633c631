--- The terminal, through a real one: typed.py gives the child a pseudo-terminal, and types when the child asks.
local fs = require "fs"
local json = require "json"
local process = require "process"
local term = require "term"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"

--- Runs a command line on a terminal, typing keys when their prompt is shown: { prompt, keys, ... }; returns what the terminal showed.
local function on_terminal(words, typed)
  local answers, lib = json.array {}, os.getenv "HKRUN_LIB"
  for i = 1, #typed, 2 do answers[i], answers[i + 1] = typed[i], { typed[i + 1] } end
  local r = process.run { test.tool "python3", "tests/support/typed.py", json.encode(answers),
    "sh", "-c", ("trap : INT; %s %s"):format(exe, words),
    env = { PATH = os.getenv "PATH", TERM = "xterm", HKRUN_HISTORY = "", LANG = "C.UTF-8", HKRUN_LIB = lib and fs.realpath(lib) or nil },
    timeout = 100,
  }
  return r.stdout
end

T["a line is read from the terminal, edited with the keys that people know"] = function()
  local seen = on_terminal("-e 'term.line[[name? ]]'", { "name? ", "abd\127c\n" })
  test.match(seen, "name%? ")
  test.match(seen, "\nabc\r\n$")
  test.equal(select(2, seen:gsub("name%?", "")), 1, "the prompt is shown once")
end

T["the end of input is nil"] = function()
  test.match(on_terminal("-e 'tostring(term.line[[name? ]])'", { "name? ", "\4" }), "nil\r\n$")
end

T["a password is not shown, and is a secret"] = function()
  local seen = on_terminal("-e 'secret.equal(term.password[[Password: ]], [[geheim]])'", { "Password: ", "geheim\n" })
  test.match(seen, "Password: \r\ntrue\r\n$")
  test.truthy(not seen:find "geheim")
end

T["Ctrl-C at a prompt cancels and gives the terminal its settings back"] = function()
  local seen = on_terminal("-e 'term.password[[Password: ]]'; echo code=$?; stty -a", { "Password: ", "\3" })
  test.match(seen, "code=130")
  test.match(seen, "[^-]echo ")
end

T["the REPL remembers lines, but none that begin with a space"] = function()
  local prompt = "read-only> "
  local seen = on_terminal("repl", { prompt, "40+2\n", prompt, " 1+1\n", prompt, "\27[A\n", prompt, "\4" })
  test.equal(select(2, seen:gsub("\n42\r", "")), 2, "the upper line ran twice")
end

T["a closed editor answers with an error; close works twice"] = function()
  local editor = term.editor()
  if editor then
    editor:close()
    editor:close()
    test.raises("the editor is closed", editor.line, editor)
  end
end

T["no terminal: no password, no size"] = function()
  local r = process.run { exe, "-e", "term.password 'x'", env = { PATH = os.getenv "PATH" }, stdin = "", timeout = 30 }
  test.equal(r.code, 1)
  test.match(r.stderr, "standard input is not a terminal")
end

T["a secret comes from the environment without becoming a string"] = function()
  test.truthy(require("secret").is(term.env "PATH"))
  test.equal(term.env "HKRUN_NO_SUCH_NAME", nil)
end

T["a descriptor that cannot be read is an error"] = function()
  local v, err = term.from_fd(9999)
  test.equal({ v, err.kind }, { nil, "io" })
end

return T
