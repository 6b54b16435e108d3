/**
 * What is pending of updates (table updates), as parts of the bridge's queries (downlink.ts). A device without one costs a look into each of two
 * indexes that have rows of open updates only.
 */
import { UPDATE_RETRY_MS } from '../../api/downlink.ts'
import { dueAt, isDue } from './downlink-retry.ts'

const SENT = { row: 'u', firstSeconds: `${UPDATE_RETRY_MS / 1000}.0`, times: 'u.sends' }
const CANCELS_AT_ONCE = 20

/** The device can begin before its job expires. What was let go and then lost its trust is told to nobody any more. */
const OPEN = `u.ended_at is null and u.job is not null and u.until > now() + interval '1 second'
  and exists (
    select from firmware f join release_keys k on k.tenant = f.tenant and k.id = f.key
    where f.id = u.firmware and f.withdrawn_at is null and k.revoked_at is null and coalesce(f.expires_at > now(), true)
  )`
/** One that the device works on is told again only when it comes back. */
const UNHEARD = 'u.answered_at is null'

/** A JobMessage (twin-models/firmware/job.ts). What is signed goes as it was stored. $2 is where devices reach the bridges. */
const BODY = `'{"job":' || u.job || ',"manifest":' || f.envelope || ',"url":'
  || to_json($2::text || '/device/v1/firmware/' || f.sha256 || '?update=' || u.id || '&key=' || u.link)::text || '}'`

/** Further `with` queries of a claim, over `asked`. */
export const CLAIM_UPDATES = `
  updates_due as materialized (
    select mine.id from asked cross join lateral (
      select u.id from updates u
      where u.incarnation = asked.incarnation and asked.updates <> 'none' and ${OPEN}
        and (asked.updates = 'all' or (${UNHEARD} and ${isDue(SENT)}))
      order by u.number limit 1 for update of u skip locked
    ) mine
  ),
  updated as (
    update updates u set sent_at = now(), sends = u.sends + 1,
      status = case when u.status = 'scheduled' then 'notified' else u.status end,
      status_at = case when u.status = 'scheduled' then now() else u.status_at end
    from updates_due due, firmware f
    where u.id = due.id and u.job is not null and f.id = u.firmware
    returning u.incarnation, u.id, ${BODY} as body, u.sends
  )`

/** incarnation, id, body, sends */
export const LISTED_UPDATES = `
  select asked.incarnation, open.* from asked cross join lateral (
    select u.id, ${BODY} as body, u.sends from updates u join firmware f on f.id = u.firmware
    where u.incarnation = asked.incarnation and ${OPEN}
    order by u.number limit 1
  ) open`

/** incarnation, id. `where`: whether it is asked for. */
export const updateCancels = (where: string): string => `
  select asked.incarnation, told.id from asked cross join lateral (
    select u.id from updates u
    where ${where} and u.incarnation = asked.incarnation and u.cancel_at is not null and u.cancel_sent_at is null
    order by u.number limit ${CANCELS_AT_ONCE}
  ) told`

/** incarnation, at. Null: at once. */
export const UPDATES_WHEN_DUE = `
  select u.incarnation, ${dueAt(SENT)} as at from asked join updates u using (incarnation)
  where asked.updates <> 'none' and ${OPEN} and ${UNHEARD}
  union all
  select u.incarnation, null from asked join updates u using (incarnation)
  where asked."updateCancels" and u.cancel_at is not null and u.cancel_sent_at is null`
