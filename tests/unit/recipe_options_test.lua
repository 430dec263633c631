local errors = require "errors"
local fs = require "fs"
local options = require "recipe.options"
local secret = require "secret"
local test = require "test"
local unknown = require "recipe.unknown"
local T = test.cases()

local function declared()
  return {
    { "app", "the app", target = true },
    { "vpc_cidr", "addresses", default = "10.40.0.0/16", check = function(v)
      if not v:find "^%d+%.%d+%.%d+%.%d+/%d+$" then return "an address range looks like 10.40.0.0/16" end
    end },
    { "zones", "how many", type = "integer", default = 2, one_of = { 2, 3 } },
    { "activate_bastion", "a bastion", type = "boolean", default = false },
    { "tags", "labels", type = "list" },
    { "password", "the password", type = "secret" },
  }
end

local function fill(args, o)
  o = o or {}
  o.args, o.config = args, o.config
  return options.fill(declared(), o)
end

local function refused(pattern, args, o)
  local e = test.raises(pattern, fill, args, o)
  test.equal(errors.exit_code(e), 2)
end

T["flags are written with - or _, with = or a space"] = function()
  local v, target = fill { "--app", "shop", "--vpc-cidr=10.1.0.0/16", "--zones", "3", "--activate_bastion", "--tags", "a, b" }
  test.equal(v, { app = "shop", vpc_cidr = "10.1.0.0/16", zones = 3, activate_bastion = true, tags = { "a", "b" } })
  test.equal(target, "shop")
  test.equal(fill({ "--app", "shop", "--no-activate-bastion" }).activate_bastion, false)
end

T["bad input is one sentence and exit code 2"] = function()
  refused("unknown option %-%-vpc%-cdir %(did you mean %-%-vpc%-cidr%?%)", { "--app", "x", "--vpc-cdir", "1" })
  refused("%-%-vpc%-cidr: 10.40: an address range looks like", { "--app", "x", "--vpc-cidr", "10.40" })
  refused("%-%-zones: many is not a whole number", { "--app", "x", "--zones", "many" })
  refused("%-%-zones: 4 is not one of 2, 3", { "--app", "x", "--zones", "4" })
  refused("%-%-activate%-bastion: maybe is neither true nor false", { "--app", "x", "--activate-bastion=maybe" })
  refused("%-%-app is needed: the app", {})
  refused("%-%-app needs a value", { "--app" })
  refused("shop is not an option", { "shop" })
end

T["a secret is never taken from the command line"] = function()
  refused("%-%-password is a secret: give it in the environment %(HKRUN_PASSWORD%)", { "--app", "x", "--password", "geheim" })
  refused("%-%-password%-fd needs the number", { "--app", "x", "--password-fd", "abc" })
end

T["a secret comes from a descriptor"] = function()
  local path = test.tmpdir() .. "/p"
  fs.write(path, "geheim\n")
  local _ <close> = io.open(path)
  local number
  for _, n in ipairs(fs.list "/proc/self/fd") do
    local ok, where = pcall(fs.realpath, "/proc/self/fd/" .. n)
    if ok and where == fs.realpath(path) then number = n end
  end
  local v = fill { "--app", "x", "--password-fd", number }
  test.truthy(secret.is(v.password))
  test.truthy(secret.equal(v.password, "geheim"))
end

T["a YAML file fills what flags do not, and is checked the same"] = function()
  local path = test.tmpdir() .. "/shop.yml"
  fs.write(path, "app: shop\nvpc-cidr: 10.2.0.0/16\nzones: 3\ntags: [a, b]\n")
  local v = fill({ "--zones", "2" }, { config = path })
  test.equal(v, { app = "shop", vpc_cidr = "10.2.0.0/16", zones = 2, activate_bastion = false, tags = { "a", "b" } })
  fs.write(path, "app: shop\nvpc_cdir: 1\n")
  refused("unknown option vpc_cdir %(did you mean vpc_cidr%?%)", {}, { config = path })
  fs.write(path, "app: shop\nzones: many\n")
  refused("zones: many is not a whole number", {}, { config = path })
  fs.write(path, "app: shop\npassword: geheim\n")
  refused("password is a secret and does not belong into a file", {}, { config = path })
  refused("of %-%-config is not there", {}, { config = path .. "x" })
end

T["what an earlier run was told fills the rest where that is asked for"] = function()
  local v, target = options.fill(declared(), {
    args = {}, only_target = true,
    earlier = function(t) return t == nil and { app = "shop", zones = 3 } end,
  })
  test.equal({ v.app, v.zones, target }, { "shop", 3, "shop" })
end

T["a recipe's own declarations are checked"] = function()
  local function bad(pattern, d) test.raises(pattern, options.fill, d, { args = {} }) end
  bad("yes is an option of hkrun itself", { { "yes", "" } })
  bad("is not a name", { { "Vpc-Cidr", "" } })
  bad("declared twice", { { "a", "" }, { "a", "" } })
  bad("unknown type", { { "a", "", type = "colour" } })
  bad("a has the unknown field dafault %(did you mean default%?%)", { { "a", "", dafault = 3 } })
end

T["an option can be needed with another one; where nothing is made what is needed is unknown"] = function()
  local d = {
    { "app", "the app", required = true }, { "bastion", "make one", default = true }, { "dns", "a server" },
    { "ssh_from", "your address", required = "bastion" }, { "zone", "its zone", required = "dns" },
  }
  local function of(args, o) return (options.fill(d, { args = args, makes_nothing = o })) end
  test.raises("%-%-ssh%-from is needed unless %-%-bastion=false: your address", of, { "--app", "x" })
  test.raises("%-%-zone is needed with %-%-dns: its zone", of, { "--app", "x", "--bastion=false", "--dns", "ns" })
  test.raises("%-%-app is needed: the app", of, { "--bastion=false" })
  test.equal(of { "--app", "x", "--bastion=false" }, { app = "x", bastion = false })
  local v = of({ "--dns", "ns" }, true)
  test.equal({ unknown.is(v.app), unknown.is(v.ssh_from), unknown.is(v.zone), v.dns }, { true, true, true, "ns" })
  test.equal(of({ "--no-bastion" }, true).ssh_from, nil)
  test.equal(of({ "--ssh-from", "me" }, true).ssh_from, "me")
  test.match(table.concat(options.help(d), "\n"), "your address %(needed unless %-%-bastion=false%).*its zone %(needed with %-%-dns%)")
  test.raises("ssh_from is required with bastion, which is not declared", options.fill, { { "ssh_from", "", required = "bastion" } }, { args = {} })
end

T["help names every option, its default and its choices"] = function()
  local lines = table.concat(options.help(declared()), "\n")
  test.match(lines, "%-%-app STRING +the app %(needed%)")
  test.match(lines, "%-%-zones INTEGER +how many %(one of 2, 3; default 2%)")
  test.match(lines, "%-%-password%-fd N +the password %(or HKRUN_PASSWORD")
end

T["help fits the terminal, and says neither twice nor against itself what an option is"] = function()
  local d = {
    { "region", "AWS region", default = "us-east-1", target = true },
    { "engine", "container engine, or none (default: the one that is there)", one_of = { "docker", "none" } },
  }
  test.equal(options.help(d, 50), {
    "  --region STRING  AWS region (default us-east-1)",
    "  --engine STRING  container engine, or none",
    "                   (default: the one that is",
    "                   there; one of docker, none)",
  })
  test.equal(#options.help(d), 2, "no terminal")
  test.equal(options.help(d, 30), {
    "  --region STRING  AWS region",
    "      (default us-east-1)",
    "  --engine STRING  container",
    "      engine, or none",
    "      (default: the one that",
    "      is there; one of docker,",
    "      none)",
  }, "too narrow for words beside the names")
end

T["a word between the options is the heading of those below it"] = function()
  local rows = options.rows { { "app", "the app" }, "network", { "zones", "how many", default = 2 }, { "cidr", "range" },
    "cutover", { "budget", "minutes" } }
  test.equal(options.help(rows), {
    "  --app STRING     the app",
    "", "network",
    "  --zones INTEGER  how many (default 2)",
    "  --cidr STRING    range",
    "", "cutover",
    "  --budget STRING  minutes",
  })
  test.equal((options.fill(rows, { args = { "--zones", "3" } })), { zones = 3 })
  test.equal(options.help(options.rows { { "app", "the app" } }), { "  --app STRING  the app" }, "without headings")
  test.raises("entry 2 is neither an option nor a heading, but a number", options.rows, { "a", 1 })
end

T["an option that is not declared cannot be read; one that is not given is nil"] = function()
  local d = declared()
  local values = options.strict(options.fill(d, { args = { "--app", "x" } }), d)
  test.equal({ values.app, values.tags, values[1], #values }, { "x", nil, nil, 0 })
  local e = test.raises("^there is no option zonse; did you mean zones%?$", function() return values.zonse end)
  test.equal(errors.exit_code(e), 2)
  test.raises("^there is no option quite_another: recipe.options does not declare it$", function() return values.quite_another end)
  values.added = 1
  test.equal(values.added, 1, "a recipe may add to them")
end

return T
