--- Add-ons, their attachments, and what Heroku's shop says of them.
local api = require "rehearsal.heroku.api"
local list = require "rehearsal.heroku.pages".list
local views = require "rehearsal.heroku.views"

local COLORS = { "AMBER", "AQUA", "BLACK", "BLUE", "BRONZE", "CHARCOAL", "COBALT", "CRIMSON", "CYAN", "GOLD", "GRAY", "IVORY" }

--- Every add-on or attachment of every app: { item, app }.
local function all(heroku, field)
  local found = {}
  for _, app in ipairs(heroku.apps) do
    for _, item in ipairs(app[field]) do found[#found + 1] = { item = item, app = app, id = item.id, name = item.name } end
  end
  return found
end

--- The add-ons of an app: its own, and those of others that are attached to it.
local function addon_views(a)
  local items, seen = {}, {}
  local function add(addon)
    if seen[addon] then return end
    seen[addon] = true
    items[#items + 1] = views.addon(addon, a.req)
  end
  for _, f in ipairs(a.app and all({ apps = { a.app } }, "addons") or all(a.heroku, "addons")) do add(f.item) end
  for _, attachment in ipairs(a.app and a.app.attachments or {}) do add(attachment.addon) end
  return items
end

--- An add-on by its id or name, or by the name of an attachment of the app.
local function find_addon(a, identity, app)
  for _, f in ipairs(all(a.heroku, "addons")) do
    if f.id == identity or f.name == identity then return f.item, f.app end
  end
  for _, f in ipairs(all(a.heroku, "attachments")) do
    local name = f.name == identity or f.name .. "_URL" == identity or f.app.name .. "::" .. f.name == identity
    if name and (not app or f.app == app) then return f.item.addon, f.app end
  end
  api.not_found "add-on"
end

local function attachment_views(a, addon)
  local items = {}
  for _, f in ipairs(a.app and all({ apps = { a.app } }, "attachments") or all(a.heroku, "attachments")) do
    if not addon or f.item.addon == addon then items[#items + 1] = views.attachment(f.app, f.item, a.req) end
  end
  return items
end

local function find_attachment(a, identity)
  local f = api.find(all(a.heroku, "attachments"), identity, "add-on attachment")
  if a.app and f.app ~= a.app then api.not_found "add-on attachment" end
  return f.item, f.app
end

local function check_confirm(app, confirm, message)
  if confirm == app.name then return end
  api.fail(422, "confirmation_required", message)
end

local function free_name(app, addon)
  local stem = addon.service == "heroku-postgresql" and "HEROKU_POSTGRESQL" or addon.service == "heroku-redis" and "HEROKU_REDIS"
    or addon.service:upper():gsub("[^%w]", "_")
  for _, color in ipairs(COLORS) do
    local name, used = stem .. "_" .. color, false
    for _, attachment in ipairs(app.attachments) do used = used or attachment.name == name end
    if not used then return name end
  end
  api.invalid "There is no free name left for this attachment."
end

--- What stands in the way of an attachment of that name. One that gives way is
--- taken off only with the app's name as `confirm`.
local function make_room(app, attachment, confirm)
  for name in pairs(require "rehearsal.heroku.app".vars_of(attachment)) do
    if app.vars[name] ~= nil then api.invalid("The config var %s is already in use on %s.", name, app.name) end
  end
  for i, other in ipairs(app.attachments) do
    if other.name == attachment.name then
      if other.addon == attachment.addon then api.invalid("%s is already attached to %s as %s.", other.addon.name, app.name, other.name) end
      check_confirm(app, confirm, ("Another attachment on %s is named %s: confirm with the app's name to overwrite it."):format(app.name, other.name))
      table.remove(app.attachments, i)
      return
    end
  end
end

local function attach(a)
  local o = api.body(a, { { "addon", type = "any", required = true }, { "app", type = "any", required = true }, { "name", type = "string" },
    { "confirm", type = "string" }, { "namespace", type = "string" } })
  local function identity(v) return type(v) == "table" and (v.id or v.name) or tostring(v) end
  local app = api.find(a.heroku.apps, identity(o.app), "app")
  local addon = find_addon(a, identity(o.addon), app)
  local name = o.name or free_name(app, addon)
  if not name:find "^%u[%u%d_]*$" then api.invalid "Name must be upper-case letters, digits and underscores." end
  local attachment = app:new_attachment(addon, name, o.namespace)
  make_room(app, attachment, o.confirm)
  table.insert(app.attachments, attachment)
  app:release_now(("Attach %s (@ref:%s)"):format(name, addon.name))
  return views.attachment(app, attachment, a.req), 201
end

local function detach(a)
  local attachment, app = find_attachment(a, a.attachment)
  local confirm = a.body and a.body.confirm or a.query.confirm
  if confirm then check_confirm(app, confirm, ("The name to confirm with is %s."):format(app.name)) end
  local left = 0
  for _, f in ipairs(all(a.heroku, "attachments")) do if f.item.addon == attachment.addon then left = left + 1 end end
  if left == 1 then
    api.fail(422, "invalid_params", ("Cannot detach the last attachment of %s: attach it under another name first."):format(attachment.addon.name))
  end
  for i, other in ipairs(app.attachments) do
    if other == attachment then table.remove(app.attachments, i) break end
  end
  app:release_now(("Detach %s (@ref:%s)"):format(attachment.name, attachment.addon.name))
  return views.attachment(app, attachment, a.req)
end

local function resolve_addons(a)
  local o = api.body(a, { { "addon", type = "string", required = true }, { "app", type = "string" }, { "addon_service", type = "string" } })
  local addon = find_addon(a, o.addon, o.app and api.find(a.heroku.apps, o.app, "app"))
  return list { views.addon(addon, a.req) }
end

--- By the attachment's name, its var's name, or the add-on's.
local function resolve_attachments(a)
  local o = api.body(a, { { "addon_attachment", type = "string", required = true }, { "app", type = "string" },
    { "addon_service", type = "string" } })
  local app = o.app and api.find(a.heroku.apps, o.app, "app")
  local found = {}
  for _, f in ipairs(all(a.heroku, "attachments")) do
    local is_it = f.id == o.addon_attachment or f.name == o.addon_attachment or f.name .. "_URL" == o.addon_attachment
      or f.item.addon.name == o.addon_attachment or f.item.addon.id == o.addon_attachment
    if is_it and (not app or f.app == app) and (not o.addon_service or f.item.addon.service == o.addon_service) then
      found[#found + 1] = views.attachment(f.app, f.item, a.req)
    end
  end
  if #found == 0 then api.not_found "add-on attachment" end
  return list(found)
end

local function addon_config(a)
  local addon = find_addon(a, a.addon)
  local items = {}
  for suffix, value in pairs(addon.values) do items[#items + 1] = { name = addon.first_name .. suffix, value = value } end
  return list(items, { "name" })
end

--- Services and plans: those that are attached here, and those of the catalog.
local function known(a)
  local plans, services = {}, {}
  for name in pairs(require "rehearsal.heroku.catalog".plans) do plans[name] = true end
  for _, f in ipairs(all(a.heroku, "addons")) do plans[f.item.plan] = true end
  for name in pairs(plans) do services[name:match "^[^:]+"] = true end
  return plans, services
end

local function find_service(a)
  local _, services = known(a)
  for name in pairs(services) do
    if name == a.service or api.uuid("addon-service", name) == a.service then return name end
  end
  api.not_found "add-on service"
end

local function service_list(a)
  local _, services = known(a)
  local items = {}
  for name in pairs(services) do items[#items + 1] = views.addon_service(name) end
  return list(items)
end

local function plan_items(a)
  local plans, service, items = known(a), find_service(a), {}
  for name in pairs(plans) do
    if name:match "^[^:]+" == service then items[#items + 1] = views.plan(name) end
  end
  return items
end

local function plan(a)
  for _, p in ipairs(plan_items(a)) do
    if p.name == a.plan or p.id == a.plan or p.name:match ":(.*)$" == a.plan then return p end
  end
  api.not_found "plan"
end

local function addon(a)
  local found, app = find_addon(a, a.addon, a.app)
  if a.app and app ~= a.app then api.not_found "add-on" end
  return views.addon(found, a.req)
end

--- Webhooks of the add-on itself; no add-on of a rehearsal has any.
local function addon_webhooks(a)
  find_addon(a, a.addon)
  return list({}, { "id" })
end

--- Deprovisions it: its attachments go with it, from every app, and so does its data.
local function remove(a)
  local found, owner = find_addon(a, a.addon, a.app)
  if owner ~= a.app then api.not_found "add-on" end
  local view = views.addon(found, a.req)
  for _, app in ipairs(a.heroku.apps) do
    for i = #app.attachments, 1, -1 do
      if app.attachments[i].addon == found then table.remove(app.attachments, i) end
    end
  end
  for i, one in ipairs(owner.addons) do
    if one == found then table.remove(owner.addons, i) break end
  end
  if found.store then found.store:stop() end
  owner:release_now(("Remove %s add-on"):format(found.name))
  return view
end

return {
  { "GET /addons", function(a) return list(addon_views(a)) end },
  { "GET /apps/{app}/addons", function(a) return list(addon_views(a)) end },
  { "GET /addons/{addon}", addon },
  { "GET /apps/{app}/addons/{addon}", addon },
  { "DELETE /apps/{app}/addons/{addon}", remove },
  { "GET /addons/{addon}/config", addon_config },
  { "GET /addons/{addon}/webhooks", addon_webhooks },
  { "GET /addons/{addon}/addon-attachments", function(a) return list(attachment_views(a, (find_addon(a, a.addon))), { "id" }) end },
  { "GET /addon-attachments", function(a) return list(attachment_views(a), { "id" }) end },
  { "POST /addon-attachments", attach },
  { "GET /apps/{app}/addon-attachments", function(a) return list(attachment_views(a)) end },
  { "GET /apps/{app}/addon-attachments/{attachment}", function(a)
    local attachment, app = find_attachment(a, a.attachment)
    return views.attachment(app, attachment, a.req)
  end },
  { "GET /addon-attachments/{attachment}", function(a)
    local attachment, app = find_attachment(a, a.attachment)
    return views.attachment(app, attachment, a.req)
  end },
  { "DELETE /addon-attachments/{attachment}", detach },
  { "POST /actions/addons/resolve", resolve_addons },
  { "POST /actions/addon-attachments/resolve", resolve_attachments },
  { "GET /addon-services", service_list },
  { "GET /addon-services/{service}", function(a) return views.addon_service(find_service(a)) end },
  { "GET /addon-services/{service}/plans", function(a) return list(plan_items(a)) end },
  { "GET /addon-services/{service}/plans/{plan}", plan },
  { "GET /plans/{plan}", function(a)
    for name in pairs((known(a))) do
      if name == a.plan or api.uuid("plan", name) == a.plan then return views.plan(name) end
    end
    api.not_found "plan"
  end },
}
