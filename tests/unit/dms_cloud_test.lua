--- The parts of the rehearsal's DMS that need no server: table mappings, task settings, the reader of test_decoding, and what
--- changes become at the target.
local test = require "test"
local apply = require "rehearsal.services.dms.worker.apply"
local ddl = require "rehearsal.services.dms.worker.ddl"
local decode = require "rehearsal.services.dms.worker.decode"
local json = require "json"
local mappings = require "rehearsal.services.dms.mappings"
local settings = require "rehearsal.services.dms.settings"
local states = require "rehearsal.services.dms.worker.state"
local types = require "rehearsal.services.dms.worker.types"

local T = test.cases()

local function fail(fmt, ...) error(fmt:format(...), 0) end

local function rules(list)
  for i, rule in ipairs(list) do rule["rule-id"], rule["rule-name"] = rule["rule-id"] or tostring(i), tostring(i) end
  return mappings.read(json.encode { rules = list }, fail)
end

local function selection(action, schema, name)
  return { ["rule-type"] = "selection", ["rule-action"] = action, ["object-locator"] = { ["schema-name"] = schema, ["table-name"] = name } }
end

local function change(target, action, schema, name, value, column)
  return { ["rule-type"] = "transformation", ["rule-target"] = target, ["rule-action"] = action, value = value,
           ["object-locator"] = { ["schema-name"] = schema, ["table-name"] = name, ["column-name"] = column } }
end

-- Table mappings ---------------------------------------------------------------

T["mappings: % is anything, _ one character, [_] an underscore; the rest of a name means itself"] = function()
  for _, case in ipairs {
    { "orders", "%", true }, { "orders", "ord%", true }, { "orders", "%ders", true }, { "orders", "order", false }, { "orders", "order_", true },
    { "a.b", "a_b", true }, { "axb", "a.b", false }, { "a_b", "a[_]b", true }, { "axb", "a[_]b", false }, { "a%b", "a[%]b", true },
    { "axb", "a[%]b", false }, { "aüb", "a_b", true }, { "aüb", "a__b", false },
    { "a-b(1)", "a-b(1)", true }, { "a+", "a+", true }, { "aa", "a+", false },
  } do test.equal(mappings.fits(case[1], case[2]), case[3], case[1] .. " like " .. case[2]) end
end

T["mappings: what is excluded stays out whatever includes it; explicit takes one table by its whole name"] = function()
  local r = rules { selection("include", "public", "%"), selection("exclude", "public", "audit%"), selection("explicit", "other", "a%") }
  test.equal({ mappings.selects(r, "public", "orders"), mappings.selects(r, "public", "audit_log"), mappings.selects(r, "other", "ab"),
    mappings.selects(r, "other", "a%"), mappings.selects(r, "third", "orders") }, { true, false, false, true, false })
end

T["mappings: names are changed one rule after the other, columns removed"] = function()
  local r = rules { selection("include", "public", "%"), change("schema", "rename", "public", nil, "shop"),
    change("table", "add-prefix", "public", "%", "old_"), change("table", "convert-uppercase", "public", "o%"),
    change("table", "replace-prefix", "public", "x%", "y"), change("column", "remove-column", "public", "orders", nil, "sum%") }
  test.equal({ mappings.target(r, "public", "orders") }, { "shop", "OLD_ORDERS" })
  test.equal({ mappings.target(r, "public", "items") }, { "shop", "old_items" })
  test.equal({ mappings.removes(r, "public", "orders", "sum_of_it"), mappings.removes(r, "public", "orders", "id"),
    mappings.removes(r, "public", "items", "sum_of_it") }, { true, false, false })
end

T["mappings: what DMS does not take, and what the rehearsal does not do, is refused by name"] = function()
  test.raises("Invalid json", mappings.read, "{", fail)
  test.raises("At least one selection rule", rules, { selection("exclude", "public", "%") })
  test.raises("ruleId = 1 failed validation. Property 'rule%-action' is not", rules, { selection("take", "public", "%") })
  test.raises("'table%-name' is missing", rules, { selection("include", "public") })
  local twice = selection("include", "public", "%")
  twice["rule-id"] = "2"
  test.raises("rule%-id is not unique", rules, { twice, selection("include", "a", "%") })
  local all = selection("include", "public", "%")
  test.raises("does not do the rule%-action 'add%-column'", rules, { all, change("table", "add-column", "public", "%", "x") })
  test.raises("does not do 'rename' with the rule%-target 'column'", rules, { all, change("column", "rename", "public", "%", "x", "y") })
  local filtered = selection("include", "public", "%")
  filtered.filters = { { ["filter-type"] = "source" } }
  test.raises("has no filters", rules, { filtered })
  test.raises("has no rules of the type 'table%-settings'", rules, { { ["rule-type"] = "table-settings", ["rule-action"] = "x",
    ["object-locator"] = { ["schema-name"] = "public", ["table-name"] = "%" } } })
end

-- Task settings ------------------------------------------------------------------

T["settings: what is given stands over DMS's own, which a later change leaves alone"] = function()
  local first = settings.merge([[{"FullLoadSettings": {"MaxFullLoadSubTasks": 3}}]], nil, fail)
  test.equal({ first.FullLoadSettings.MaxFullLoadSubTasks, first.FullLoadSettings.CommitRate, first.TargetMetadata.LobMaxSize }, { 3, 10000, 32 })
  local second = settings.merge([[{"TargetMetadata": {"FullLobMode": true}}]], first, fail)
  test.equal({ second.FullLoadSettings.MaxFullLoadSubTasks, second.TargetMetadata.LimitedSizeLobMode }, { 3, false })
  for text, why in pairs {
    ["{"] = "Invalid json", [ [[{"Fullload": {}}]] ] = "Unknown setting Fullload",
    [ [[{"FullLoadSettings": {"MaxFullLoadSubTasks": 50}}]] ] = "from 1 to 49",
    [ [[{"FullLoadSettings": {"TargetTablePrepMode": "EMPTY"}}]] ] = "TargetTablePrepMode cannot be EMPTY",
    [ [[{"Logging": {"CloudWatchLogGroup": "x"}}]] ] = "cannot be set on create",
    [ [[{"ValidationSettings": {"EnableValidation": true}}]] ] = "no data validation",
  } do test.raises(why, settings.merge, text, nil, fail) end
end

-- test_decoding --------------------------------------------------------------------

T["decode: values in quotes, numbers, NULL, TOAST that stayed, and names of every kind"] = function()
  local c = decode.change([==[table public.orders: INSERT: id[integer]:1 note[text]:'it''s "x" [a]:b' tags[text[]]:'{a,"b c"}' ]==]
    .. [==["Odd ""N"[character varying]:null done[boolean]:true sum[numeric]:-1.5 bits[bit varying]:B'101' big[text]:unchanged-toast-datum]==])
  test.equal({ c.op, c.schema, c.table }, { "INSERT", "public", "orders" })
  test.equal(c.new, { { name = "id", value = "1" }, { name = "note", value = [[it's "x" [a]:b]] }, { name = "tags", value = [[{a,"b c"}]] },
    { name = 'Odd "N' }, { name = "done", value = "true" }, { name = "sum", value = "-1.5" }, { name = "bits", value = "101" },
    { name = "big", unchanged = true } })
  local odd = decode.change [[table "My Schema"."a.b": DELETE: id[integer]:7]]
  test.equal({ odd.schema, odd.table, odd.old[1].value }, { "My Schema", "a.b", "7" })
  test.equal(decode.change("table public.t: DELETE: (no-tuple-data)").old, nil)
  test.equal(decode.change("table public.t: TRUNCATE: (no-flags)").op, "TRUNCATE")
  test.equal(decode.change("table public.t, public.u: TRUNCATE: cascade").op, "TRUNCATE")
  test.equal(decode.change "message: transactional: 1 prefix: x, sz: 1 content:x", nil)
end

T["decode: an update tells the old key where it changed, and line breaks inside values"] = function()
  local c = decode.change "table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 a[text]:'x\ny'"
  test.equal(c.old, { { name = "id", value = "1" } })
  test.equal(c.new, { { name = "id", value = "2" }, { name = "a", value = "x\ny" } })
end

T["decode: rows of a slot are grouped by transaction, each with the place and the time of its commit"] = function()
  local list = decode.transactions {
    { lsn = "0/1", xid = "7", data = "BEGIN 7" }, { lsn = "0/2", xid = "7", data = "table public.t: INSERT: a[integer]:1" },
    { lsn = "0/3", xid = "7", data = "COMMIT 7 (at 2026-01-02 03:04:05.6+00)" }, { lsn = "0/4", xid = "8", data = "BEGIN 8" },
    { lsn = "0/5", xid = "8", data = "COMMIT 8 (at 2026-01-02 03:04:06+00)" } }
  test.equal({ #list, list[1].xid, list[1].lsn, list[1].at, #list[1].changes, #list[2].changes },
    { 2, 7, "0/3", "2026-01-02 03:04:05.6+00", 1, 0 })
end

-- What a killed worker left -----------------------------------------------------------

T["state: whether the last batch was committed is asked of the target"] = function()
  local path = test.tmpdir() .. "/state.json"
  for status, wanted in pairs { committed = { "0/20", 3 }, aborted = { "0/10", 1 } } do
    local state = states.open(path, true)
    state:table_of("public", "orders").Inserts = 1
    state.data.applied = "0/10"
    state:intend("0/20", "99", { ["public.orders"] = { Inserts = 2 } })
    local asked = { "in progress", status }
    local again = states.open(path, false)
    again:resolve { value = function(_, _, xid) test.equal(xid, "99") return table.remove(asked, 1) end }
    local kept = states.open(path, false).data
    test.equal({ kept.applied, kept.tables["public.orders"].Inserts, kept.pending, #asked }, { wanted[1], wanted[2], nil, 0 }, status)
  end
  test.truthy(states.lsn "1/0" > states.lsn "0/FFFFFFFF")
end

-- What changes become ------------------------------------------------------------------

local function column(name, base, is_key) return { name = name, base = base, type = base, is_key = is_key, category = "X" } end

local function follow(t, snapshot)
  local merged = settings.merge([[{"TargetMetadata": {"LobMaxSize": 1}}]], nil, fail)
  return { job = { settings = merged, source = { settings = { CaptureDdls = false } } }, known = { [t.schema .. "." .. t.name] = t },
    state = { table_of = function() return { snapshot = snapshot } end } }
end

local ORDERS = { schema = "public", name = "orders", to_schema = "Shop", to_name = "orders", has_key = true, removed = { gone = true },
  columns = { column("id", "int4", true), column("note", "text") } }

local function statements(t, snapshot, xid, ...)
  local changes = {}
  for i, line in ipairs { ... } do changes[i] = decode.change(line) end
  local list, counts = apply.statements(follow(t, snapshot), { { xid = xid, lsn = "0/9", changes = changes } })
  local sql = {}
  for i, statement in ipairs(list) do sql[i] = statement.sql end
  return sql, counts
end

T["apply: rows are found by their key as it was; removed columns and LOBs beyond the limit do not arrive"] = function()
  local sql, counts = statements(ORDERS, nil, 9, [[table public.orders: INSERT: id[integer]:1 note[text]:'a\b' gone[integer]:2]],
    "table public.orders: UPDATE: id[integer]:1 note[text]:null gone[integer]:3",
    "table public.orders: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 note[text]:unchanged-toast-datum",
    "table public.orders: DELETE: id[integer]:2", "table public.orders: TRUNCATE: (no-flags)", "table public.others: DELETE: id[integer]:2")
  test.equal(sql, { [[INSERT INTO "Shop"."orders" ("id", "note") OVERRIDING SYSTEM VALUE VALUES ('1',  E'a\\b')]],
    [[UPDATE "Shop"."orders" SET "note" = NULL WHERE "id" = '1']], [[UPDATE "Shop"."orders" SET "id" = '2' WHERE "id" = '1']],
    [[DELETE FROM "Shop"."orders" WHERE "id" = '2']] })
  test.equal(counts, { ["public.orders"] = { Inserts = 1, Updates = 2, Deletes = 1 } })
  local long = statements(ORDERS, nil, 9, ("table public.orders: INSERT: id[integer]:1 note[text]:'%s'"):format(("x"):rep(2000)))
  test.match(long[1], "left%('x+', 1024%)%)$")
end

T["apply: a table without a key keeps its inserts only, unless its replica identity is full"] = function()
  local bare = { schema = "public", name = "bare", to_schema = "public", to_name = "bare", removed = {}, columns = { column("a", "int4") } }
  local sql, counts = statements(bare, nil, 9, "table public.bare: INSERT: a[integer]:1", "table public.bare: UPDATE: a[integer]:2",
    "table public.bare: DELETE: (no-tuple-data)")
  test.equal({ #sql, counts["public.bare"].Updates, counts["public.bare"].Deletes }, { 1, 1, 1 })
  test.equal(statements(bare, nil, 9, "table public.bare: UPDATE: old-key: a[integer]:1 new-tuple: a[integer]:2"),
    { [[UPDATE "public"."bare" SET "a" = '2' WHERE "a" = '1']] })
end

T["apply: what the snapshot of a table's load saw is not done again"] = function()
  local line = "table public.orders: DELETE: id[integer]:2"
  local function is_done(xid) return #statements(ORDERS, "100:110:104,107", xid, line) == 1 end
  test.equal({ is_done(99), is_done(100), is_done(104), is_done(105), is_done(107), is_done(110), is_done(111) },
    { false, false, true, false, true, true, true })
end

T["ddl: the table that a statement is about"] = function()
  for query, wanted in pairs {
    ["ALTER TABLE orders ADD x int"] = "public.orders", ["alter table if exists only Shop.Orders drop x"] = "shop.orders",
    ['DROP TABLE "My Schema"."Or.ders" CASCADE'] = "My Schema.Or.ders", ["create table if not exists a(b int)"] = "public.a",
  } do test.equal(table.concat({ ddl.subject(query, "public") }, "."), wanted, query) end
end

T["types: what a column becomes in a table that DMS makes"] = function()
  for base, wanted in pairs { int8 = "bigint", uuid = "character varying(36)", jsonb = "jsonb", inet = "character varying(50)", citext = "text" } do
    test.equal(types.of({ base = base, type = base }, {}), wanted)
  end
  test.equal(types.of({ base = "bool", type = "boolean" }, {}), "character varying(5)")
  test.equal(types.of({ base = "bool", type = "boolean" }, { booleans = true }), "boolean")
  test.equal(types.of({ base = "jsonb", type = "jsonb" }, { jsonb_as_clob = true }), "text")
  test.equal(types.of({ base = "numeric", type = "numeric" }, {}), "numeric(28,6)")
  test.equal(types.of({ base = "numeric", type = "numeric(12,2)" }, {}), "numeric(12,2)")
  test.equal(types.of({ base = "timestamptz", type = "timestamp with time zone" }, {}), "timestamp(6)")
  test.equal(types.of({ base = "mood", kind = "e", type = "mood" }, {}), "character varying(64)")
end

return T
