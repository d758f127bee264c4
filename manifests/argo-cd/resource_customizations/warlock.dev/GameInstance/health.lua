-- Health of a GameInstance, from its conditions alone: the first rule that fits, top to bottom.
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
  if status.state == "Deleting" then
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

-- The annotation may be on the GameHost, so the condition is what counts.
if ready.reason == "Paused" then
  return { status = "Suspended", message = said("Ready", "paused") }
end

-- A host out of sight says nothing about the game: it may well run. Before the host has been
-- tried, HostReachable is Unknown too, and that passes.
local unreached = of("HostReachable").status == "False"
if ready.status == "Unknown" and (unreached or ready.reason == "NotSeen") then
  local since = "not seen yet"
  if status.lastSeen ~= nil then
    since = "not seen since " .. status.lastSeen
  end
  local why = said("Ready", "the host is out of sight")
  if unreached then
    why = said("HostReachable", why)
  end
  return { status = "Unknown", message = since .. ": " .. why }
end

if of("Reconciling").status == "True" then
  return { status = "Progressing", message = said("Reconciling", "work is under way") }
end

-- What ends by itself and comes back at once would otherwise have Argo CD compare everything twice.
if ready.reason == "Recovering" then
  return { status = "Healthy", message = said("Ready", "it is being started again") }
end

if ready.status == "True" then
  return { status = "Healthy", message = said("Ready", "as declared") }
end

return { status = "Progressing", message = said("Ready", "the operator has said nothing yet") }
