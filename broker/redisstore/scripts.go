package redisstore

import "github.com/redis/rueidis"

// The scripts of the store. Numbers that may not fit into a double are compared as text. All but
// replace may run twice for one call, so that rueidis may send them again when an answer was lost:
//
//   - put finds its own write done: same version, same content, made from the same base;
//   - acquire, extend and release tell a lease by its owner and fence, remember a value by its mark;
//   - list and identify change nothing the second time, announce the time at most.
var (
	putScript      = rueidis.NewLuaScriptRetryable(putLua)
	listScript     = rueidis.NewLuaScriptRetryable(listLua)
	identifyScript = rueidis.NewLuaScriptRetryable(identifyLua)
	acquireScript  = rueidis.NewLuaScriptRetryable(laterLua + acquireLua)
	extendScript   = rueidis.NewLuaScriptRetryable(laterLua + extendLua)
	releaseScript  = rueidis.NewLuaScriptRetryable(releaseLua)
	announceScript = rueidis.NewLuaScriptRetryable(announceLua)
	rememberScript = rueidis.NewLuaScriptRetryable(rememberLua)
	replaceScript  = rueidis.NewLuaScript(replaceLua)
)

// putLua writes all records or none.
//
// KEYS: names, changes, then the record of each write. ARGV: writer, length of the stream, then
// for each write name, base generation, base revision, generation, revision, fence, "1" to write
// or "0" to delete, content. It returns 0 and the last entry that it made in the stream ("" for
// none), or the number of the write whose base is not stored.
const putLua = `
local n = #KEYS - 2
local function arg(i, j) return ARGV[2 + (i-1)*8 + j] end
local function base(i) return arg(i, 2) .. ':' .. arg(i, 3) end
local function done(i)
  local r = redis.call('HMGET', KEYS[i+2], 'g', 'd', 'o', 'b')
  if arg(i, 7) == '0' then return not r[1] end
  return r[1] == arg(i, 4) and r[2] == arg(i, 5) and r[3] == base(i) and r[4] == arg(i, 8)
end
local known, conflict = {}, 0
for i = 1, n do
  local r = redis.call('HMGET', KEYS[i+2], 'g', 'd')
  known[i] = r[1]
  if conflict == 0 and (r[1] or '0') .. ':' .. (r[2] or '0') ~= base(i) then conflict = i end
end
if conflict > 0 then
  local kept = 0
  for i = 1, n do
    if not done(i) then return {conflict, ''} end
    if arg(i, 7) == '1' then kept = kept + 1 end
  end
  return {kept == 0 and conflict or 0, ''}
end
local entry = ''
for i = 1, n do
  local change = 'put'
  if arg(i, 7) == '1' then
    redis.call('HSET', KEYS[i+2], 'g', arg(i, 4), 'd', arg(i, 5), 'f', arg(i, 6), 'b', arg(i, 8), 'w', ARGV[1], 'o', base(i))
    if not known[i] then
      redis.call('ZADD', KEYS[1], 0, arg(i, 1))
      change = 'came'
    end
  elseif known[i] then
    redis.call('DEL', KEYS[i+2])
    redis.call('ZREM', KEYS[1], arg(i, 1))
    change = 'went'
  else
    change = nil
  end
  if change then
    entry = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'n', arg(i, 1), 'c', change, 'w', ARGV[1])
  end
end
return {0, entry}`

// listLua returns one moment's records, of each name, generation, fence and content. A generation
// of "" is for a record that is not at hand: while the slot moves to another node of a Cluster,
// key by key, the names may be here and some records there, which to ask for is an error.
//
// The keys of records are not in KEYS, as only the script finds their names; they are in the slot
// of the others. KEYS: names. ARGV: what the key of a record begins with, from, to, limit.
const listLua = `
local out = {}
for _, name in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])) do
  local r = redis.pcall('HMGET', ARGV[1] .. name, 'g', 'f', 'b')
  out[#out+1], out[#out+2], out[#out+3], out[#out+4] = name, r[1] or '', r[2] or '', r[3] or ''
end
return out`

// identifyLua returns the store's id and the last entry of its stream. A store that has none gets
// an id, and a stream that has none an entry: there is always one to read on from.
//
// KEYS: id, changes. ARGV: a new id, writer, length of the stream.
const identifyLua = `
local id = redis.call('GET', KEYS[1])
if not id then
  id = ARGV[1]
  redis.call('SET', KEYS[1], id)
end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
if last[1] then return {id, last[1][1]} end
return {id, redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'n', '', 'c', 'made', 'w', ARGV[2])}`

// laterLua compares two decimal numbers of up to 64 bits.
const laterLua = `
local function later(a, b)
  if #a ~= #b then return #a > #b end
  return a > b
end
`

// acquireLua takes a lease; an owner that has it gets it again, for no less than it had. The
// counter is one for all names. It is lifted where a failover lost its last steps: above what the
// record carries, what the caller has seen, and the server's time in microseconds, which no count of
// leases overtakes and without which a fence could be given twice that only its dead holder knew.
//
// KEYS: lease, record, fence. ARGV: owner, milliseconds, generation (0 for any), greatest fence
// seen. It returns 'stale', or 'held', the milliseconds left and the owner, or 'mine' and the fence.
const acquireLua = `
local r = redis.call('HMGET', KEYS[2], 'g', 'f')
if r[1] and ARGV[3] ~= '0' and later(r[1], ARGV[3]) then return {'stale'} end
local lease = redis.call('GET', KEYS[1])
if lease then
  local owner, fence = string.match(lease, '^(.*) (%d+)$')
  local left = redis.call('PTTL', KEYS[1])
  if owner ~= ARGV[1] then return {'held', tostring(left), owner} end
  if left < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
  return {'mine', fence}
end
local counter = redis.call('GET', KEYS[3]) or '0'
local greatest = counter
if r[2] and later(r[2], greatest) then greatest = r[2] end
if later(ARGV[4], greatest) then greatest = ARGV[4] end
local time = redis.call('TIME')
local floor = string.format('%d%06d', time[1], time[2])
if later(floor, greatest) then greatest = floor end
if greatest ~= counter then redis.call('SET', KEYS[3], greatest) end
redis.call('INCR', KEYS[3])
local fence = redis.call('GET', KEYS[3])
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. fence, 'PX', ARGV[2])
return {'mine', fence}`

// extendLua has a lease last again. One that ended is revived if no lease at all was given since:
// then nobody had this one in between.
//
// KEYS: lease, fence. ARGV: owner, fence, milliseconds. It returns 1, or 0 for a lost lease.
const extendLua = `
local mine = ARGV[1] .. ' ' .. ARGV[2]
local lease = redis.call('GET', KEYS[1])
if lease then
  if lease ~= mine then return 0 end
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
  return 1
end
local counter = redis.call('GET', KEYS[2]) or '0'
if later(counter, ARGV[2]) then return 0 end
if counter ~= ARGV[2] then redis.call('SET', KEYS[2], ARGV[2]) end
redis.call('SET', KEYS[1], mine, 'PX', ARGV[3])
return 1`

// releaseLua gives a lease back. KEYS: lease. ARGV: owner, fence.
const releaseLua = `
if redis.call('GET', KEYS[1]) == ARGV[1] .. ' ' .. ARGV[2] then redis.call('DEL', KEYS[1]) end
return 0`

// rememberLua keeps a value unless there is one. Before it stands its writer's mark of 16
// characters. KEYS: value. ARGV: mark and value, milliseconds. It returns what is kept.
const rememberLua = `
local kept = redis.call('GET', KEYS[1])
if kept then return kept end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]`

// replaceLua keeps a value in the place of another, or forgets it. KEYS: value. ARGV: the value
// that must be kept, "1" to keep the next or "0" to forget, mark and value, milliseconds. It
// returns 1 or 0.
const replaceLua = `
local kept = redis.call('GET', KEYS[1])
if not kept or string.sub(kept, 17) ~= ARGV[1] then return 0 end
if ARGV[2] == '1' then
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
else
  redis.call('DEL', KEYS[1])
end
return 1`

// announceLua notes when the writer announced itself, and forgets who has not for long. A member is
// the time in milliseconds, of 13 digits, a space and a name, all of one score: so the set is in the
// order of time with no command that the records do not need. Redis's clock may be set back: what
// is ahead of it is now. What is no member of ours goes: it would be in the way of every announcement.
//
// KEYS: peers. ARGV: writer, milliseconds after which one is forgotten, how many are kept. It
// returns the name of each other and how many milliseconds ago it was.
const announceLua = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function member(at, name) return string.format('%013.0f %s', at, name) end
local all = redis.call('ZRANGEBYLEX', KEYS[1], '-', '+')
local others, out = {}, {}
for _, m in ipairs(all) do
  local at, name = tonumber(string.sub(m, 1, 13)), string.sub(m, 15)
  if not at or name == ARGV[1] or now - at > tonumber(ARGV[2]) then
    redis.call('ZREM', KEYS[1], m)
  else
    if at > now then
      redis.call('ZREM', KEYS[1], m)
      at, m = now, member(now, name)
      redis.call('ZADD', KEYS[1], 0, m)
    end
    others[#others+1] = {m = m, name = name, ago = now - at}
  end
end
local first = math.max(1, #others - ARGV[3] + 1)
for i, o in ipairs(others) do
  if i < first then
    redis.call('ZREM', KEYS[1], o.m)
  else
    out[#out+1], out[#out+2] = o.name, string.format('%.0f', o.ago)
  end
end
redis.call('ZADD', KEYS[1], 0, member(now, ARGV[1]))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return out`
