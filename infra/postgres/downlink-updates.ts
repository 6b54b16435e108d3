/**
 * What is pending of updates (table updates), as parts of the bridge's queries (downlink.ts). A device without one costs one look into the index
 * `updates_open`, which has only rows that may be pending.
 */
import { UPDATE_RETRY_MS } from '../../api/downlink.ts'
import { dueAt, isDue } from './downlink-retry.ts'
import { usableProblemSql } from './firmware.ts'

const SENT = { row: 'u', firstSeconds: `${UPDATE_RETRY_MS / 1000}.0`, times: 'u.sends' }
const CANCELS_AT_ONCE = 20

/** What the index has: it is open, or its device is to hear that it is not. */
const IN_INDEX = '(u.ended_at is null or (u.cancel_at is not null and u.cancel_sent_at is null))'
/** The device can begin before its job expires. What was let go and is not trusted any more is told to nobody. With `firmware f`. */
const TELLABLE = `u.job is not null and u.until > now() + interval '1 second' and (${usableProblemSql}) is null`
/** One that the device works on is told again only when it comes back. */
const UNHEARD = 'u.answered_at is null'

/** A JobMessage (twin-models/firmware/job.ts). What is signed goes as it was stored. $2 is where devices reach the bridges. */
const BODY = `'{"job":' || u.job || ',"manifest":' || f.envelope || ',"url":'
  || to_json($2::text || '/device/v1/firmware/' || f.sha256 || '?update=' || u.id || '&key=' || u.link)::text || '}'`

/** Further `with` queries of a claim, over `asked`: `updated` has incarnation, id, body, sends, and `update_cancels` incarnation, id. */
export const CLAIM_UPDATES = `
  updates_mine as materialized (
    select asked.incarnation, asked.updates, mine.* from asked cross join lateral (
      select u.id, u.number, u.ended_at is null as open from updates u
      where u.incarnation = asked.incarnation and ${IN_INDEX}
        and case when u.ended_at is null then asked.updates <> 'none' and u.job is not null else asked."updateCancels" end
      order by u.number limit ${CANCELS_AT_ONCE + 1}
    ) mine
  ),
  updates_due as materialized (
    select u.id from (select distinct on (incarnation) id, updates from updates_mine where open order by incarnation, number) mine
    join updates u using (id) join firmware f on f.id = u.firmware
    where ${TELLABLE} and (mine.updates = 'all' or (${UNHEARD} and ${isDue(SENT)}))
    for update of u skip locked
  ),
  updated as (
    update updates u set told_at = coalesce(u.told_at, now()), sent_at = now(), sends = u.sends + 1,
      status = case when u.status = 'scheduled' then 'notified' else u.status end,
      status_at = case when u.status = 'scheduled' then now() else u.status_at end
    from updates_due due, firmware f
    where u.id = due.id and u.job is not null and f.id = u.firmware
    returning u.incarnation, u.id, ${BODY} as body, u.sends
  ),
  update_cancels as (select incarnation, id from updates_mine where not open)`

/** The same of a list. */
export const LIST_UPDATES = `
  updates_mine as materialized (
    select mine.* from asked cross join lateral (
      select * from updates u where u.incarnation = asked.incarnation and ${IN_INDEX} and (u.ended_at is not null or u.job is not null)
      order by u.number limit ${CANCELS_AT_ONCE + 1}
    ) mine
  ),
  updated as (
    select distinct on (u.incarnation) u.incarnation, u.id, ${BODY} as body, u.sends from updates_mine u join firmware f on f.id = u.firmware
    where u.ended_at is null and ${TELLABLE} order by u.incarnation, u.number
  ),
  update_cancels as (select incarnation, id from updates_mine where ended_at is not null)`

/** incarnation, at. Null: at once. */
export const UPDATES_WHEN_DUE = `
  select u.incarnation, case when u.ended_at is null then ${dueAt(SENT)} end as at
  from asked join updates u using (incarnation) join firmware f on f.id = u.firmware
  where ${IN_INDEX} and case when u.ended_at is null then asked.updates <> 'none' and ${UNHEARD} and ${TELLABLE} else asked."updateCancels" end`
