-- Health of a Game, from its conditions alone: the first rule that fits, top to bottom.
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

-- We hold no Game back: whoever deletes in the foreground does, for a moment.
if obj.metadata.deletionTimestamp ~= nil then
  local goes = "it is being deleted; servers of it run on"
  return { status = "Progressing", message = goes, deletionMessage = goes }
end

if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "the operator has not seen this version yet" }
end

if of("Stalled").status == "True" then
  return { status = "Degraded", message = said("Stalled", "an edit is needed") }
end

if of("Ready").status == "True" then
  return { status = "Healthy", message = said("Ready", "as declared") }
end

return { status = "Progressing", message = said("Ready", "the operator has said nothing yet") }
