-- Health of a GameHost, from its conditions alone: the first rule that fits, top to bottom.
local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function of(type)
  return conditions[type] or {}
end

local function said(type, otherwise)
  local message = of(type).message
  if message == nil or message == "" then
    return otherwise
  end
  return message
end

local ready = of("Ready")

-- Without a deletionMessage Argo CD shows the finalizer's name, and not what it waits for.
if obj.metadata.deletionTimestamp ~= nil then
  local waits = "the operator has not seen the deletion yet"
  if ready.reason == "Deleting" or ready.reason == "Paused" then
    waits = said("Ready", waits)
  end
  return { status = "Progressing", message = waits, deletionMessage = waits }
end

if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "the operator has not seen this version yet" }
end

if of("Stalled").status == "True" then
  return { status = "Degraded", message = said("Stalled", "an edit is needed") }
end

if ready.reason == "Paused" then
  return { status = "Suspended", message = said("Ready", "paused") }
end

-- What runs on a machine goes on running while it is out of reach: that is not Degraded.
if of("Reachable").status == "False" then
  local since = "not seen yet"
  if status.lastSeen ~= nil then
    since = "not seen since " .. status.lastSeen
  end
  return { status = "Unknown", message = since .. ": " .. said("Reachable", "out of reach") }
end

if ready.status == "True" then
  return { status = "Healthy", message = said("Ready", "it is served") }
end

return { status = "Progressing", message = said("Ready", "the operator has said nothing yet") }
