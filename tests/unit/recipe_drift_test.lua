--- What was changed by hand: a plan reports exactly the field, apply brings it back, and what is not ours stays.
local effects = require "recipe.effects"
local lab = dofile "tests/support/recipe_lab.lua"
local secret = require "secret"
local test = require "test"
local T = test.cases()

--- A kind with tags, and a map of which only the given members are managed.
local function tagged(l)
  return l.kind("lab.tagged", {
    options = { { "size", "how big", type = "integer" }, { "settings", "by name", type = "table" }, { "tags", "tags", type = "table" } },
    fixed = {}, summary = {}, compare = { settings = "given", tags = "given" },
    create = function(spec, ctx)
      return l:call("create " .. spec.name, function()
        local tags = {}
        for _, from in ipairs { spec.tags or {}, ctx.tags } do
          for k, v in pairs(from) do tags[k] = tostring(v) end
        end
        l.things["thing-1"] = { id = "thing-1", name = spec.name, size = spec.size, settings = spec.settings, tags = tags }
        return "thing-1"
      end)
    end,
    update = function(spec, current, changes)
      l:call("update " .. current.name, function()
        local thing = l.things[current.id]
        for k, v in pairs(changes.tags and spec.tags or {}) do thing.tags[k] = v end
        for k, v in pairs(changes.settings and changes.settings.new or {}) do thing.settings[k] = v end
        l.set = changes.tags and spec.tags
      end)
    end,
  })
end

--- A thing that was made, its recipe, and what a plan says of its changes.
local function made(settings)
  local l = lab()
  local thing = tagged(l)
  local function fn() thing { "a", size = 1, settings = settings or { x = 1 }, tags = { team = "shop", cost = 12 } } end
  l:apply(fn)
  local function changes()
    local e = l:plan(fn).entries[1]
    local seen = {}
    for _, c in ipairs(e.changes or {}) do seen[c.field] = { old = c.old, new = c.new } end
    return seen
  end
  return l, fn, changes
end

T["tags that are numbers in the recipe are text in the cloud, and no difference"] = function()
  local _, _, changes = made()
  test.equal(changes(), {})
end

T["a tag of the recipe's that was changed, and one of the engine's that was taken away, come back; foreign ones stay"] = function()
  local l, fn, changes = made()
  local tags = l.things["thing-1"].tags
  tags.team, tags["hkrun:key"], tags.foreign, tags["aws:system"] = "other", nil, "theirs", "aws's own"
  test.equal(changes(), { tags = { old = { team = "other" }, new = { team = "shop", ["hkrun:key"] = "lab.tagged:a" } } })
  l:apply(fn)
  test.equal(l.set, { team = "shop", ["hkrun:key"] = "lab.tagged:a" }, "what is set")
  tags = l.things["thing-1"].tags
  test.equal({ tags.foreign, tags["aws:system"], tags.Name, tags.cost }, { "theirs", "aws's own", "a", "12" })
  test.equal(changes(), {})
end

T["what is adopted gets tags that say that it is not ours to delete, and no others"] = function()
  local l = lab()
  local thing = tagged(l)
  l.things["thing-1"] = { id = "thing-1", name = "a", size = 1, settings = {}, tags = {} }
  local function fn() thing { "a", size = 1, adopt = true } end
  l:apply(fn)
  test.equal(l.calls, { "update a" })
  test.equal(l.things["thing-1"].tags, { ["hkrun:recipe"] = "lab", ["hkrun:key"] = "lab.tagged:a", ["hkrun:adopted"] = "true" })
  l:apply(fn)
  test.equal(#l.calls, 1)
end

T["of a map only the members that differ are shown"] = function()
  local l, fn, changes = made { x = 1, y = 2 }
  l.things["thing-1"].settings = { x = 1, y = 3, z = 4 }
  test.equal(changes(), { settings = { old = { y = 3 }, new = { y = 2 } } })
  l:apply(fn)
  test.equal(l.things["thing-1"].settings, { x = 1, y = 2, z = 4 })
end

--- A thing whose next reads are answered from the time before its last change.
local function seen_late(l)
  local kind = l.kind("lab.late", { read = function()
    l.reads = (l.reads or 0) + 1
    local thing = l.things["thing-1"]
    if l.old_answers and l.old_answers > 0 then
      l.old_answers = l.old_answers - 1
      thing = l.before
    end
    local copy = thing and {}
    for k, v in pairs(thing or {}) do copy[k] = v end
    return copy
  end })
  --- Plans while so many reads are answered from before; returns the action, and how many reads it took.
  function l.looks(fn, before, answers)
    l.before, l.old_answers, l.reads = before, answers, 0
    local e = l:plan(fn).entries[1]
    l.old_answers = 0
    return e.action, l.reads
  end
  return kind
end

T["a plan by another process reads again what was changed a moment ago, until it is seen or must be"] = function()
  local l = lab()
  local thing, size = seen_late(l), 1
  local function fn() thing { "a", size = size, password = l.password } end
  l:apply(fn)
  effects.settle = 60
  test.equal({ l.looks(fn, nil, 3) }, { "none", 4 }, "it was made")
  local before = { id = "thing-1", name = "a", size = 1, tags = l.things["thing-1"].tags }
  size = 2
  test.equal({ l.looks(fn, before, 0) }, { "change", 1 }, "the recipe has changed: that is no late read")
  l:apply(fn)
  test.equal({ l.looks(fn, before, 3) }, { "none", 4 }, "it was changed")
  effects.settle = 0
  test.equal({ l.looks(fn, before, 3) }, { "change", 1 }, "long ago: that is a change by hand")
  test.equal({ l.looks(fn, nil, 3) }, { "create", 1 }, "long ago: somebody deleted it")
  effects.settle = 60
  l.password, before.password = secret.new "marked-4418", secret.new "marked-4417"
  l.things["thing-1"].password = l.password
  test.equal({ l.looks(fn, before, 2) }, { "none", 3 }, "a secret, which is on no record")
end

return T
