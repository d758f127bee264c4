if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["warlock.dev/paused"] = "true"
return obj
