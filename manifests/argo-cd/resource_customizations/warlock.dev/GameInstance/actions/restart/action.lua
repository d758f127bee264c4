-- Any new value asks for one restart; two clicks within a second are one.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["warlock.dev/restart"] = os.date("!%Y-%m-%dT%XZ")
return obj
