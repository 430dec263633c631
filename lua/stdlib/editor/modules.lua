--- The public modules, in the order of a recipe: what it is made of, what it talks to, what it handles, the rest. After the
--- name come the files that they are made of, where there are more than one; of the later ones only the methods are public.
return {
  { "recipe" }, { "task" }, { "options" }, { "errors" }, { "retry" }, { "log" }, { "test", "test", "test/cloud" },
  { "aws", "aws", "aws/client", "aws/transfer" }, { "heroku", "heroku", "heroku/app", "heroku/client" },
  { "pg", "pg", "pg/connection", "pg/statement", "pg/transaction", "pg/copyio", "pg/notify", "pg/copy", "pg/check", "pg/same" },
  { "redis", "redis", "redis/connection", "redis/transaction", "redis/script", "redis/subscription", "redis/cluster",
    "redis/copy", "redis/live", "redis/same" },
  { "list", "list", "list/groups" }, { "show", "show" }, { "csv" },
  { "queues" }, { "bullmq" }, { "sidekiq" }, { "ssh" }, { "http" }, { "dns" }, { "eb" }, { "logs" }, { "procfile" },
  { "json" }, { "cbor" }, { "yaml" }, { "xml" }, { "zip" }, { "text" }, { "secret" }, { "sign" }, { "process" }, { "fs" },
}
