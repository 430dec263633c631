--- Waits: each has a deadline, says what it waits for and what the service said last, and what to do when it is over.
local errors = require "errors"
local lab = dofile "tests/support/recipe_lab.lua"
local log = require "log"
local noun = require "aws.common.noun"
local task = require "task"
local test = require "test"
local T = test.cases()

--- A database that never becomes ready, or never goes, and a service that tells events.
local function slow(l, o)
  return l.kind("lab.slow", {
    timeout = 2,
    event = function(id, since)
      l.since = since
      l.asked = id
      if o.forbidden then errors.raise { kind = "remote", code = "AccessDenied", message = "no" } end
      return "Applying modifications"
    end,
    ready = function(_, ctx)
      if not o.ready then return nil end
      return noun.wait(ctx, "it is not available", ctx.timeout, function() return nil, "modifying" end)
    end,
    delete = function(current) l.things[current.id].deleting, l.things[current.id].state = true, "deleting" end,
  })
end

--- What the progress lines said while fn ran.
local function notes_of(fn)
  local notes, real = {}, log.progress
  log.progress = function(o)
    local p = real(o)
    local note = p.note
    p.note = function(self, s)
      notes[#notes + 1] = o.what .. ": " .. s
      note(self, s)
    end
    return p
  end
  local ok, e = pcall(fn)
  log.progress = real
  return table.concat(notes, "\n"), not ok and e or nil
end

T["a wait says the state and the service's last event, and so does the error at its deadline"] = function()
  local l = lab()
  local k = slow(l, { ready = true })
  local notes, e = notes_of(function() l:apply(function() k { "db", timeout = 0.1 } end) end)
  test.match(notes, 'wait for lab.slow "db": modifying: Applying modifications')
  test.match(tostring(e), 'cannot wait for lab.slow "db": .*it is not available after 0.1 s, it is modifying: Applying modifications')
  test.match(tostring(e), "run it again, it goes on from here; timeout = SECONDS on the noun waits longer")
  test.equal({ l.asked, l.since }, { "thing-1", require("journal").open({ name = "lab", dir = l.dir }).memory.nouns["lab.slow:db"].at })
  test.equal(errors.exit_code(e), 1)
end

T["a deletion that does not end says the state and the event, and destroy again goes on waiting"] = function()
  local l = lab()
  local k = slow(l, {})
  local function r() k { "db", timeout = 0.2 } end
  l:apply(r)
  local notes, e = notes_of(function() l:destroy(r) end)
  test.match(notes, 'delete lab.slow "db": deleting: Applying modifications')
  test.match(tostring(e), 'cannot delete lab.slow "db": after 0.2 s it is deleting: Applying modifications')
  l.things = {}
  l:destroy(r)
  test.equal(l.out[#l.out], "destroy: nothing left")
end

T["who may not read events still waits"] = function()
  local l = lab()
  local k = slow(l, { ready = true, forbidden = true })
  local notes = notes_of(function() l:apply(function() k { "db", timeout = 0.05 } end) end)
  test.match(notes, 'wait for lab.slow "db": modifying$')
end

T["a create that hangs is given up after the noun's timeout, and the error has the last word of it"] = function()
  local l, before = lab(), require("recipe.effects").grace
  require("recipe.effects").grace = 0.05
  test.defer(function() require("recipe.effects").grace = before end)
  local k = l.kind("lab.hangs", { ready = function(_, ctx)
    ctx.note "step 2 of 3"
    task.sleep(60)
  end })
  local e = test.raises("not done within", l.apply, l, function() k { "x", timeout = 0.5 } end)
  test.match(tostring(e), "it was last step 2 of 3")
  test.match(tostring(e), "timeout = SECONDS on the noun")
end

T["a kind with a timeout of its own keeps its meaning"] = function()
  local l = lab()
  local k = l.kind("lab.fn", { options = { { "timeout", "of the function", type = "number" } }, fixed = {}, summary = {},
    compare = {}, timeout = 77,
    ready = function(_, ctx) l.seen = ctx.timeout end })
  l:apply(function() k { "f", timeout = 3 } end)
  test.equal(l.seen, 77)
end

return T
