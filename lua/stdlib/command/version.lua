return {
  help = "prints the version",
  main = function()
    print("hkrun " .. require "version")
    return 0
  end,
}
