--- What the REPL is made of, without a terminal: completion, history, help.
local commands = require "repl.commands"
local complete = require "repl.complete"
local fs = require "fs"
local help = require "repl.help"
local history = require "repl.history"
local json = require "json"
local log = require "log"
local shell = require "shell"
local test = require "test"
local T = test.cases()

local env = shell.environment()
env.r = json.decode '{ "Vpcs": [ { "VpcId": "vpc-1", "VpcName": "a", "Tags": [] } ], "NextToken": "x" }'
env.lazy = setmetatable({ plain = 1 }, { __index = function() error "a completion called a function" end })

local function items(text)
  local found = complete.at(env, text)
  return table.concat(found.items, " "), found.suffix
end

local function has(text, name)
  for item in items(text):gmatch "%S+" do if item == name then return true end end
  return false
end

T["services, nouns and operations"] = function()
  test.truthy(has("aws.e", "ec2") and has("aws.e", "elasticache") and has("x = aws.e", "ecr"))
  test.truthy(has("aws.v", "vpc"), "a noun")
  test.equal(items "aws.ec2:describe_vpcs", "describe_vpcs")
  test.equal(items "aws.rds.describe_db_instances", "describe_db_instances")
  test.truthy(has("print(aws.sts:", "get_caller_identity"))
  test.truthy(has("aws.rds:", "wait"))
  test.equal(items "aws.nothing:", "")
  test.equal(items "aws.s3:uploa", "upload upload_part upload_part_copy")
end

T["parameters of the call, also deep inside, and not twice"] = function()
  local list, suffix = items "aws.ec2:describe_vpcs{ Fil"
  test.equal({ list, suffix }, { "Filters", " = " })
  test.equal(items "aws.ec2:describe_vpcs({ fil", "Filters")
  test.equal(items "aws.ec2:describe_vpcs{ Filters = { { Na", "Name")
  test.equal(items "aws.ec2:describe_vpcs{ Filters = { { Name = 'a', Values = { 'b' } }, { V", "Values")
  test.truthy(not has("aws.ec2:describe_vpcs{ Filters = {}, ", "Filters"))
  test.equal(items "for v in aws.ec2:each('describe_volumes', { Max", "MaxResults")
  test.equal(items "aws.rds:wait('db_instance_available', { DBI", "DBInstanceIdentifier")
  test.equal(items "aws.ec2:create_vpc{ TagSpecifications = { { Tags = { { K", "Key")
  test.truthy(not has("f{ Fil", "Filters"), "of a function that is no operation")
end

T["values of an enum, names of operations and of waiters inside strings"] = function()
  local list, suffix = items 'aws.ec2:run_instances{ InstanceType = "t3.mi'
  test.equal({ list, suffix }, { "t3.micro", '"' })
  test.equal(items "aws.ec2:describe_instance_types{ InstanceTypes = { 't3.nano', 't3.mi", "t3.micro")
  test.equal(items 'aws.ec2:each("describe_vpcs', "describe_vpcs")
  test.equal(items 'aws.rds:wait("db_instance_av', "db_instance_available")
  test.equal(items 'aws.ec2:run_instances{ ImageId = "ami', "")
  test.equal(items 'help "aws.rds.describe_db_instances', "describe_db_instances")
end

T["fields and methods of values that are there; nothing is called"] = function()
  test.equal(items "r.", "NextToken Vpcs")
  test.equal(items "r.Vpcs[1].Vpc", "VpcId VpcName")
  test.equal(items "r['Vpcs'][1].VpcI", "VpcId")
  test.truthy(has("r.Vpcs:", "where") and has("r.Vpcs:", "sort") and not has("r.Vpcs:", "VpcId"), "methods of lists")
  test.equal(items "r.Vpcs[i].", "")
  test.equal(items "lazy.", "plain")
  test.equal(items "lazy.x.", "")
  test.equal(items "f().", "")
  test.truthy(has("heroku.", "app") and has("pg.", "open") and has("redis.", "open") and has("string.", "format"))
  test.equal(items "redi", "redis")
  test.equal(items "unf", "unfold")
  test.equal(items "ret", "retry return")
end

T["comments and finished strings are no place for names; broken code is no error"] = function()
  test.equal(items "-- aws.", "")
  test.truthy(has("x = 'it''s' .. aws.e", "ec2"))
  for text in ([[) ]=] } { [ = . : aws. aws: [[x aws.ec2:describe_vpcs{{ }) 'a\ ..... 1.e5 aws.ec2:each(1, { r[ r[1 f"x". ::a]]):gmatch "%S+" do
    complete.at(env, text)
    complete.at(env, text .. " aws.ec2:describe_vpcs{ " .. text)
  end
end

T["commands and their arguments"] = function()
  test.equal(commands.complete(":wr").items, { "write" })
  test.equal(commands.complete(":write o").items, { "off", "on" })
  test.equal(commands.complete(":region eu-west").items, { "eu-west-1", "eu-west-2", "eu-west-3" })
  test.equal(commands.complete "aws.e", nil)
end

T["columns fit the width; what does not fit the height is counted"] = function()
  local names = {}
  for i = 1, 100 do names[i] = ("name_%03d"):format(i) end
  local text = complete.columns(names, 40, 10)
  local rows = 0
  for line in text:gmatch "[^\n]+" do
    test.truthy(#line <= 40, "width")
    rows = rows + 1
  end
  test.equal(rows, 11)
  local shown = select(2, text:gsub("name_%d+", ""))
  test.equal(text:match "%.%.%. and (%d+) more", tostring(100 - shown))
  test.equal(complete.columns({ "a", "b", "c" }, 80, 10), "a  b  c")
  test.equal(complete.columns({ ("x"):rep(100) }, 80, 10), ("x"):rep(100))
end

T["the history leaves out what names or holds a secret"] = function()
  local private = {
    " 1 + 1", "secret.new('x')", 'pg.open{ password = "x" }', 'token = "abc"', "x = 'AKIAIOSFODNN7EXAMPLE'",
    'k = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"', "redis.open 'rediss://:hunter2@cache.example.com:6379'",
    "pg.open 'postgres://app:hunter2@db.example.com/shop'", "h = 'Bearer x'", "x = '0123456789abcdef0123456789abcdef'",
    "aws.client { credentials = c }", "x = 'HRKU-AAAA'", "a = 1\nlocal pwd = 'x'", "",
  }
  for _, entry in ipairs(private) do test.truthy(history.is_private(entry), entry) end
  for _, entry in ipairs { "aws.ec2:describe_vpcs{}", "1 + 1", "a = 1\nb = 2", ":region eu-west-1", "help(aws.rds)",
    "aws.iam:get_role{ RoleName = 'aws-elasticbeanstalk-ec2-role' }", "r.Vpcs[1].Tags", "pg.open 'postgres://db.example.com/shop'",
    "aws.ec2:describe_instances{ InstanceIds = { 'i-0123456789abcdef0' } }" } do
    test.truthy(not history.is_private(entry), entry)
  end
end

T["entries of several lines are kept as one; the file is its owner's"] = function()
  local dir = test.tmpdir()
  local getenv = os.getenv
  os.getenv = function(name) return name == "HKRUN_HISTORY" and dir .. "/a/history" or getenv(name) end -- luacheck: ignore 122
  test.defer(function() os.getenv = getenv end)                                                          -- luacheck: ignore 122
  local h = history.open()
  for _, entry in ipairs { "for i = 1, 2 do\n  print(i) -- \\n\nend", "1", "1", "secret.new 'x'", "2" } do h:add(entry) end
  test.equal(history.open().entries, { "for i = 1, 2 do\n  print(i) -- \\n\nend", "1", "2" })
  test.equal(fs.stat(dir .. "/a/history").mode & 511, 384)
  test.equal({ h:find "print", h:find("1", 2), h:find "nothing" }, { 1, 1 })
end

T["a history that cannot be read or written is said once, and kept in memory"] = function()
  local dir, getenv, lines = test.tmpdir(), os.getenv, {}
  local sink = log.sink
  test.defer(function() os.getenv, log.sink = getenv, sink end) -- luacheck: ignore 122
  log.sink = function(_, line) lines[#lines + 1] = line end
  fs.write(dir .. "/file", "")
  for _, path in ipairs { dir, dir .. "/file/below/history" } do
    os.getenv = function(name) return name == "HKRUN_HISTORY" and path or getenv(name) end -- luacheck: ignore 122
    lines = {}
    local h = history.open()
    test.truthy(h:add "1" and h:add "2", path)
    test.equal(h.entries, { "1", "2" })
    test.equal(#lines, 1, path)
    test.match(lines[1], "the history is not kept: ")
  end
end

T["help: parameters with types, required marks and values; a service; our own functions"] = function()
  local aws = require "aws"
  local text = help.text(aws.rds.describe_db_instances)
  test.match(text, "^aws%.rds:describe_db_instances {")
  test.match(text, "Only reads")
  test.match(text, 'aws%.rds:each%("describe_db_instances"')
  test.match(text, 'aws%.rds:wait%("db_instance_available"')
  test.match(text, "\n  Filters +list of tables\n    Name +string, required\n    Values +list of string, required\n")
  test.match(text, "\n  DBInstances +list of tables\n    DBInstanceIdentifier +string\n")
  test.equal(help.text "aws.rds.describe_db_instances", text)
  text = help.text(aws.ec2.create_volume)
  test.match(text, "Can change something")
  test.match(text, "VolumeType +string: standard | io1 | io2 | gp2")
  test.match(help.text(aws.rds), "Relational Database Service, %d+ operations\n.*describe_db_instances")
  test.match(help.text(aws.dms.describe_endpoints), "Result:")
  test.match(help.text "pg.open", "^pg%.open%(where, opts%)\nConnects to a database")
  test.match(help.text(require "redis"), "\n  redis%.open%(endpoint, opts%)\n      Opens a connection[^\n]+%.\n")
  test.match(help.text "days_ago", "The time some days before now")
  test.match(help.text(), "help%(aws%.rds%)")
  for line in help.text():gmatch "[^\n]+" do test.truthy(#line <= 80, line) end
  test.match(help.text(aws.s3), "Beside them: .*, download, .*, upload")
  test.match(help.text(aws.s3.upload), "^S3:upload%(o%)\nSends a file")
  test.match(help.text(aws.vpc), "^aws%.vpc { \"name\", %.%.%. }.*\n  cidr +address range: 10%.40%.0%.0/16, required\n")
  test.equal(help.text "vpc", help.text(aws.vpc))
  test.match(help.text(aws.network), "\n  zones +in how many availability zones")
  test.equal(help.text "rds.describe_db_instances", help.text(aws.rds.describe_db_instances))
  test.match(help.text "aws", "\n  aws%.used%(%)\n      The region and the profile that `aws%.use` set%.\n")
  test.equal(help.text "help", help.text())
  test.match(tostring(test.raises("no help about", help.text, "pgg.open")), "did you mean pg")
  test.raises("no operation describe_db_instance .*did you mean", help.text, "aws.rds.describe_db_instance")
end

T["help of every operation of every service can be made"] = function()
  local aws, model = require "aws", require "aws.model"
  for _, name in ipairs { "ec2", "s3", "ssm", "dms", "cloudwatch" } do
    local service = aws[name].model
    for _, operation in ipairs(service.names "operations") do
      local text = help.text(aws[name][model.snake(operation)])
      test.truthy(select(2, text:gsub("\n", "")) < 900, name .. "." .. operation .. " fits some screens")
    end
  end
end

return T
