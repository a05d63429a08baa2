-- Posts callbacks with random ids; what wrk found comes as from http_requests.lua.
--
-- wrk -s callback_posts.lua URL -- IDS RANGE
--   IDS    how many ids a callback has
--   RANGE  each is a random one from 0 to RANGE - 1; duplicates are the sender's way

local here = debug.getinfo(1, "S").source:match("^@(.*)callback_posts%.lua$")
dofile(here .. "http_requests.lua")

function init(args)
  local count, range = tonumber(args[1]), tonumber(args[2])
  local ids = {}
  math.randomseed(os.time())
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  request = function()
    for place = 1, count do
      ids[place] = math.random(0, range - 1)
    end
    return wrk.format(nil, nil, nil, '{"object_ids":[' .. table.concat(ids, ",") .. "]}")
  end
end
