-- Offers what would have an effect now.
local actions = {}
local annotations = obj.metadata.annotations or {}
local paused = annotations["warlock.dev/paused"] == "true"
local held = paused
for _, condition in ipairs((obj.status or {}).conditions or {}) do
  -- Its GameHost may be what is paused, and then nothing of it is touched either.
  if condition.type == "Ready" and condition.reason == "Paused" then
    held = true
  end
end
local deleting = obj.metadata.deletionTimestamp ~= nil

if paused then
  actions["resume"] = { ["disabled"] = false }
else
  actions["pause"] = { ["disabled"] = false }
end

if not held then
  actions["reconcile"] = { ["disabled"] = false }
end

if not held and not deleting then
  if obj.spec.state == "Stopped" then
    actions["start"] = { ["disabled"] = false }
  else
    actions["restart"] = { ["disabled"] = false }
    actions["stop"] = { ["disabled"] = false }
  end
end

return actions
