local annotations = obj.metadata.annotations
if annotations ~= nil then
  annotations["warlock.dev/paused"] = nil
  -- An empty table leaves Lua as an empty list, and Argo CD then keeps the old annotations.
  if next(annotations) == nil then
    obj.metadata.annotations = nil
  end
end
return obj
