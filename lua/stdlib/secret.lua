return { size = function(s) return #s end }
