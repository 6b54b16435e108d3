/**
 * What a decision makes of the rows of its device's updates, as part of the decision write's one statement (decision-store.ts). It hangs on its
 * `device`: where the decision is not written, nor is this.
 *
 * Where an update may be told to its device, its job is signed here: nonce and link are drawn anew each time, so a write that is tried again
 * after one that came through (and then writes nothing) leaves the first.
 */
import { randomBytes } from 'node:crypto'
import type { UpdateChange, UpdateRelease } from '../../twin-models/core/effects.ts'
import { jobFor, type SignJob } from '../../twin-models/firmware/job.ts'
import type { TwinKey } from '../../twin-models/ids.ts'
import type { Queries } from './connect.ts'

/** Of one row. Absent: that stays as it is. */
export interface UpdateRowChange {
  id: string
  status?: string
  attempt?: number
  code?: string
  message?: string
  told?: ToldJob
  /** The device is not told (any more): job and link go. */
  untold: boolean
  /** As if this attempt had never been sent. */
  afresh: boolean
  /** It runs the new firmware: how far its device was on the way there is over. */
  arrived: boolean
  ended: boolean
  tell: boolean
  /** What ran is known anew, or not known. */
  from: boolean
  fromVersion?: string
  fromSha256?: string
}

interface ToldJob {
  /** DSSE JSON. */
  job: string
  link: string
  /** RFC 3339. */
  until: string
  linkUntil: string
}

export function updateRowChanges(key: TwinKey, changes: UpdateChange[], signJob: SignJob): UpdateRowChange[] {
  return changes.map(({ id, status, attempt, release, withdraw, code, message, tell = false, from }) => {
    const ended = status !== undefined && status !== 'scheduled' && status !== 'soaking'
    return {
      id,
      ...(status !== undefined && { status, ...(code !== undefined && { code }), ...(message !== undefined && { message }) }),
      ...(attempt !== undefined && { attempt }),
      ...(release && { told: toldJob(key, release, signJob) }),
      untold: withdraw === true || ended || status === 'soaking',
      afresh: status === 'scheduled' || release !== undefined,
      arrived: status === 'soaking' || status === 'healthy',
      ended,
      tell: ended && tell,
      from: from !== undefined,
      ...(from && { fromVersion: from.version, ...(from.sha256 !== undefined && { fromSha256: from.sha256 }) }),
    }
  })
}

function toldJob(key: TwinKey, release: UpdateRelease, signJob: SignJob): ToldJob {
  const job = jobFor(key, release, randomBytes(16).toString('base64url'), Date.now())
  return {
    job: JSON.stringify(signJob(job)),
    link: randomBytes(32).toString('base64url'),
    until: new Date(release.until).toISOString(),
    linkUntil: new Date(release.linkUntil).toISOString(),
  }
}

/** A further `with` query, with its comma before it. The first end stays; the device hears of it only if it had been told of the update. */
export function updateQuery(sql: Queries, changes: UpdateRowChange[]) {
  if (changes.length === 0) return sql``
  const rows = changes.map(({ told, ...change }) => ({ ...change, ...told }))
  return sql`, updated as (
      update updates u set
        status = coalesce(new.status, u.status),
        status_at = case when new.status <> u.status then now() else u.status_at end,
        code = case when new.status is null then u.code else new.code end,
        message = case when new.status is null then u.message else new.message end,
        attempt = coalesce(new.attempt, u.attempt),
        job = case when new.job is not null or new.untold then new.job else u.job end,
        link = case when new.job is not null or new.untold then new.link else u.link end,
        until = coalesce(new.until, u.until),
        link_until = coalesce(new."linkUntil", u.link_until),
        told_at = case when not new.afresh then u.told_at end,
        sent_at = case when not new.afresh then u.sent_at end,
        sends = case when new.afresh then 0 else u.sends end,
        answered_at = case when not new.afresh then u.answered_at end,
        progress = case when not new.afresh and not new.arrived then u.progress end,
        ended_at = case when new.ended then now() end,
        cancel_at = case when new.tell and u.sent_at is not null then now() end,
        from_version = case when new."from" then new."fromVersion" else u.from_version end,
        from_sha256 = case when new."from" then new."fromSha256" else u.from_sha256 end
      from device, json_to_recordset(${JSON.stringify(rows)}::text::json) as new (id uuid, status text, attempt int, code text, message text,
        job text, link text, until timestamptz, "linkUntil" timestamptz, untold boolean, afresh boolean, arrived boolean, ended boolean, tell boolean,
        "from" boolean, "fromVersion" text, "fromSha256" text)
      where u.id = new.id and u.incarnation = device.incarnation and u.ended_at is null
    )`
}
