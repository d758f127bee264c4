-- Offers what would have an effect now.
local actions = {}
local annotations = obj.metadata.annotations or {}

if annotations["warlock.dev/paused"] == "true" then
  actions["resume"] = { ["disabled"] = false }
else
  actions["pause"] = { ["disabled"] = false }
  actions["reconcile"] = { ["disabled"] = false }
end

return actions
