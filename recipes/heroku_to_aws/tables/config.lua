--- Config vars by name; the first pattern that fits decides, and what fits none is plain. "noise" is Heroku's own and stays
--- behind; a "secret" goes to Secrets Manager, whatever it holds; "plain" ones become environment properties, which whoever may
--- look at the environment sees. A URL with a password in it is a secret under any name, and what an add-on owns too.
return {
  { "^HEROKU_", "noise", "Heroku's own" }, { "^DYNO$", "noise", "the name of a dyno" }, { "^DYNO_RAM$", "noise", "the memory of a dyno" },
  { "^PORT$", "noise", "the port is said by Elastic Beanstalk" }, { "^PATH$", "noise", "leads to Heroku's folders" },
  { "^LD_LIBRARY_PATH$", "noise", "leads to Heroku's folders" }, { "^GEM_PATH$", "noise", "leads to Heroku's folders" },
  { "^STACK$", "noise", "the name of Heroku's stack" }, { "^BUILDPACK_URL$", "noise", "for Heroku's build" },
  { "^MAINTENANCE_PAGE_URL$", "noise", "for Heroku's router" }, { "^ERROR_PAGE_URL$", "noise", "for Heroku's router" },
  { "^NPM_CONFIG_PRODUCTION$", "noise", "for Heroku's build" }, { "^YARN_PRODUCTION$", "noise", "for Heroku's build" },
  { "PUBLIC_KEY$", "plain" }, { "PUBLISHABLE", "plain" }, { "^NEXT_PUBLIC_", "plain" }, { "^REACT_APP_", "plain" }, { "^VITE_", "plain" },
  { "SECRET", "secret" }, { "PASSW", "secret" }, { "PASSPHRASE", "secret" }, { "PWD$", "secret" }, { "TOKEN", "secret" },
  { "CREDENTIAL", "secret" }, { "PRIVATE", "secret" }, { "SALT$", "secret" }, { "PEPPER$", "secret" }, { "CERT", "secret" }, { "PEM$", "secret" },
  { "KEY$", "secret" }, { "KEYS$", "secret" }, { "KEY_BASE$", "secret" }, { "_KEY_", "secret" }, { "APIKEY", "secret" }, { "AUTH$", "secret" },
  { "SIGNATURE", "secret" }, { "WEBHOOK", "secret" }, { "_DSN$", "secret" }, { "LICENSE", "secret" }, { "ENCRYPT", "secret" },
}
