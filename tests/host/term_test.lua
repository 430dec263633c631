--- The terminal, through a real one: script(1) gives the child a pseudo-terminal.
local fs = require "fs"
local process = require "process"
local term = require "term"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"

--- Runs a command line on a terminal, typing `keys` with pauses between them; returns what the terminal showed.
local function on_terminal(words, keys)
  local typed = {}
  for i, k in ipairs(keys) do typed[i] = ("sleep 0.3; printf '%s'"):format(k) end
  local lib = os.getenv "HKRUN_LIB"
  local r = process.run {
    "sh", "-c", ("(%s; sleep 0.3) | script -qec \"trap : INT; %s %s\" /dev/null"):format(table.concat(typed, "; "), exe, words),
    env = { PATH = os.getenv "PATH", TERM = "xterm", HKRUN_HISTORY = "", LANG = "C.UTF-8",
      HKRUN_LIB = lib and fs.realpath(lib) or nil },
    timeout = 60,
  }
  return r.stdout
end

T["a line is read from the terminal, edited with the keys that people know"] = function()
  local seen = on_terminal("-e 'term.line[[name? ]]'", { "abd\\177c\\n" })
  test.match(seen, "name%? ")
  test.match(seen, "\nabc\r\n$")
  test.equal(select(2, seen:gsub("name%?", "")), 1, "the prompt is shown once")
end

T["the end of input is nil"] = function()
  test.match(on_terminal("-e 'tostring(term.line[[name? ]])'", { "\\004" }), "nil\r\n$")
end

T["a password is not shown, and is a secret"] = function()
  local seen = on_terminal("-e 'secret.equal(term.password[[Password: ]], [[geheim]])'", { "geheim\\n" })
  test.match(seen, "Password: \r\ntrue\r\n$")
  test.truthy(not seen:find "geheim")
end

T["Ctrl-C at a prompt cancels and gives the terminal its settings back"] = function()
  local seen = on_terminal("-e 'term.password[[Password: ]]'; echo code=\\$?; stty -a", { "\\003" })
  test.match(seen, "code=130")
  test.match(seen, "[^-]echo ")
end

T["the REPL remembers lines, but none that begin with a space"] = function()
  local seen = on_terminal("repl", { "40+2\\n", " 1+1\\n", "\\033[A\\n", "\\004" })
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
