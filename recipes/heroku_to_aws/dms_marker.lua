--- The schema with one table of one row that hkrun makes on a source whose changes AWS DMS streams: a word that is written
--- there arrives in the target after all that was written before it. A noun, so that destroy takes it away again.
local errors = require "errors"
local heroku = require "heroku"
local json = require "json"
local pg = require "pg"
local recipe = require "recipe"
local scope = require "heroku_to_aws.dms_scope"

local COMMENT = "SELECT obj_description(oid, 'pg_namespace') AS text FROM pg_namespace WHERE nspname = $1"

local function open(app)
  local where = heroku.app(app).postgres or errors.raise { kind = "not_found", message = ("the app %s has no database any more"):format(app) }
  local db = pg.open { url = where.url, sslmode = "require" }
  db:exec "SET default_transaction_read_only = off"        -- also while the source is closed to writers
  return db
end

local function id_of(app) return ("%s in the database of %s"):format(scope.SCHEMA, app) end

--- Whose it is stands in the schema's comment.
local function tags_in(text)
  local tags = text and json.decode(text)
  return type(tags) == "table" and tags or {}
end

local function look(app)
  local db <close> = open(app)
  local found = db:query(COMMENT, scope.SCHEMA)[1]
  return found and { id = id_of(app), app = app, tags = tags_in(found.text) } or nil
end

return recipe.kind {
  name = "dms_marker",
  options = { { "tags", "recipe.until_tags", type = "table" } }, compare = { tags = "ignore" }, idempotent = true,

  --- A source that does not answer hinders nobody to delete the rest: then it stays, and `leaves` says so.
  read = function(spec, known, ctx)
    if ctx.given_up then return nil end
    local ok, found = pcall(look, spec.name)
    if ok then return found end
    if errors.is(found, "cancelled") or not known then error(found, 0) end
    return { id = known, app = spec.name, unreachable = tostring(found) }
  end,

  create = function(spec, ctx)
    local db <close> = open(spec.name)
    local tx <close> = db:transaction()
    db:exec(("CREATE SCHEMA %s"):format(scope.SCHEMA))
    db:exec(("COMMENT ON SCHEMA %s IS %s"):format(scope.SCHEMA, pg.quote_value(json.encode(ctx.tags, { sort = true }))))
    db:exec(("CREATE TABLE %s (id int PRIMARY KEY, word varchar(100) NOT NULL)"):format(scope.MARKER))
    db:exec(("INSERT INTO %s VALUES (1, 'none')"):format(scope.MARKER))
    tx:commit()
    return id_of(spec.name)
  end,

  delete = function(current, ctx)
    if current.unreachable then
      ctx.given_up = true
      return
    end
    local db <close> = open(current.app)
    db:exec(("DROP SCHEMA IF EXISTS %s CASCADE"):format(scope.SCHEMA))
  end,

  leaves = function(current)
    return current.unreachable and { {
      what = ("the schema %s, with one table of one row,"):format(current.id), cost = "it could not be reached: " .. current.unreachable,
      delete = ('heroku pg:psql --app %s --command "DROP SCHEMA %s CASCADE"; a replication slot that DMS left there shows in '
        .. "pg_replication_slots, and pg_drop_replication_slot drops it"):format(current.app, scope.SCHEMA),
    } } or nil
  end,
}
