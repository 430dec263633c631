--- Heroku's own CLI on a rehearsal's Heroku.
local process = require "process"
local test = require "test"

--- The CLI for a cloud: runs a line of words ("~" stands for a space in one). Any other host than heroku.com's or loopback it
--- would quietly replace by the real heroku.com, so a word of that is a failure; the token is the cloud's, and worth nothing
--- elsewhere.
---@param cloud Cloud
---@return fun(line: string): { code: integer, out: string, err: string, line: string }
return function(cloud)
  local env = cloud:env()
  env.HEROKU_DISABLE_AUTOUPDATE, env.DISABLE_TELEMETRY, env.HEROKU_PARTICLEBOARD_URL = "1", "true", cloud.url
  test.match(env.HEROKU_HOST, "^http://127%.0%.0%.1:%d+$")
  return function(line)
    local words = { test.tool "node", test.tool "heroku", env = env, timeout = 300 }
    for word in line:gmatch "%S+" do words[#words + 1] = (word:gsub("~", " ")) end
    local before = #cloud.calls
    local r = process.run(words)
    test.truthy(not r.stderr:find "HEROKU_HOST", "it took the rehearsal's host: " .. r.stderr)
    test.truthy(#cloud.calls > before, "heroku " .. line .. " asked the rehearsal")
    return { code = r.code, out = r.stdout, err = r.stderr, line = line }
  end
end
