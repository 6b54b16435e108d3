/**
 * What happened to alarms becomes notices: events of the outbox are read by position, in pages, and what they mean is written in the transaction
 * that moves the cursor. So nothing is told because of an event that is read twice, and none is left out, whoever dies when.
 *
 * Rows are locked in one order by all who change notices: targets, told alarms, notices by id.
 */
import { NOTICE_EVENTS, type NoticeEvent, noticeEventOf } from '../../api/notify/alarm-events.ts'
import { notifyActionsOf } from '../../api/notify/notify-actions.ts'
import type { Taken } from '../../api/notify/ports.ts'
import { type AlarmTurn, type NotifyAction, noticesAfter, raised } from '../../twin-models/core/notices.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql, Transaction } from './connect.ts'
import { alarmKey, type KnownAlarm, lockAlarms, type NewAlarm, writeAlarms } from './told-alarms.ts'

/** Positions looked through at a time, and events of alarms taken. */
const PAGE = { positions: 5_000, events: 500 }
const KINDS = NOTICE_EVENTS.map((kind) => `'${kind}'`).join(', ')

interface EventRow {
  position: number
  at: number
  tenant: string
  incarnation: number
  device: string
  kind: string
  event: string
}

export async function takeAlarmEvents(sql: Sql): Promise<Taken> {
  // Without a lock, and in one statement: most looks find nothing.
  const [{ found }] = await sql<[{ found: boolean }]>`select e.position > c.position as found from outbox_end e, notice_cursor c`
  if (!found) return { more: false, missed: 0 }
  return sql.begin(async (tx) => {
    const [{ after, end }] = await tx<[{ after: number; end: number }]>`
      select c.position as after, least(e.position, c.position + ${PAGE.positions}) as end from notice_cursor c, outbox_end e for update of c`
    const rows = await tx<EventRow[]>`
      select position, ${tx.unsafe(epochMs('at'))} as at, tenant, incarnation, device, kind, event from outbox
      where position > ${after} and position <= ${end} and kind in (${tx.unsafe(KINDS)}) order by position limit ${PAGE.events}`
    const isFull = rows.length === PAGE.events
    const position = isFull ? rows.at(-1)!.position : end
    const [{ kept }] = await tx<[{ kept: number }]>`
      select count(*)::int as kept from outbox where position > ${after} and position <= ${position}`
    if (rows.length > 0) await apply(tx, rows)
    await tx`update notice_cursor set position = ${position}`
    return { more: isFull || end - after === PAGE.positions, missed: position - after - kept }
  })
}

async function apply(tx: Transaction, rows: EventRow[]): Promise<void> {
  const events = rows.flatMap((row) => {
    const event = noticeEventOf(row)
    return event ? [{ ...row, event }] : []
  })
  const actions = await actionsOf(tx, events)
  await tx`select from targets where tenant in (${list(tx, [...new Set(events.map(({ tenant }) => tenant))])}) order by number for key share`
  const alarms = await lockAlarms(tx, alarmsOf(events), devicesOf(events))
  const places = await placesOf(tx, events)
  const made: NewAlarm[] = []
  for (const { at, tenant, incarnation, device, event } of events) {
    if (event.kind === 'removed') for (const known of alarms.values()) if (known.incarnation === incarnation) turn(known, gone(known), at)
    if (event.kind === 'turned') {
      const known = alarms.get(alarmKey(incarnation, event.n))
      if (known) turn(known, event.turn, at)
    }
    if (event.kind !== 'raised' || alarms.has(alarmKey(incarnation, event.n))) continue
    const { n, rule, version, alarm } = event
    const told = actions.get(ruleKey(tenant, rule, version)) ?? []
    if (told.length === 0) continue
    const site = places.get(incarnation)
    const known: NewAlarm = {
      incarnation,
      n,
      tenant,
      device,
      rule,
      ...(site !== undefined && { site }),
      ids: [],
      ...raised(alarm, told, at),
    }
    alarms.set(alarmKey(incarnation, n), known)
    made.push(known)
  }
  await writeAlarms(tx, [...alarms.values()], new Set(made))
}

function turn(known: KnownAlarm, what: AlarmTurn, at: number): void {
  Object.assign(known, noticesAfter(known, what, at))
}

function gone({ alarm }: KnownAlarm): AlarmTurn {
  return { kind: 'cleared', facts: { ...alarm.facts, cleared: 'the device was removed' } }
}

type Happened = Omit<EventRow, 'event'> & { event: NoticeEvent }

function alarmsOf(events: Happened[]): Array<{ incarnation: number; n: number }> {
  const alarms = events.flatMap(({ incarnation, event }) => (event.kind === 'removed' ? [] : [{ incarnation, n: event.n }]))
  return [...new Map(alarms.map((alarm) => [alarmKey(alarm.incarnation, alarm.n), alarm])).values()]
}

function devicesOf(events: Happened[]): number[] {
  return events.filter(({ event }) => event.kind === 'removed').map(({ incarnation }) => incarnation)
}

function ruleKey(tenant: string, rule: string, version: number): string {
  return JSON.stringify([tenant, rule, version])
}

/** Of the very versions that raised alarms. */
async function actionsOf(sql: Queries, events: Happened[]): Promise<Map<string, NotifyAction[]>> {
  const rules = events.flatMap(({ tenant, event }) =>
    event.kind === 'raised' ? [{ tenant, rule: event.rule, version: event.version }] : [],
  )
  const wanted = [...new Map(rules.map((rule) => [ruleKey(rule.tenant, rule.rule, rule.version), rule])).values()]
  if (wanted.length === 0) return new Map()
  const rows = await sql<Array<{ tenant: string; name: string; version: number; body: string }>>`
    select v.tenant, v.name, v.version, v.body
    from json_to_recordset(${JSON.stringify(wanted)}::text::json) as w (tenant text, rule text, version int)
    join rule_versions v on v.tenant = w.tenant and v.name = w.rule and v.version = w.version`
  return new Map(rows.map(({ tenant, name, version, body }) => [ruleKey(tenant, name, version), notifyActionsOf(body)]))
}

const LONGEST_SITE = 128

/** `attributes.site` of their devices, where it is a text. */
async function placesOf(sql: Queries, events: Happened[]): Promise<Map<number, string>> {
  const incarnations = events.filter(({ event }) => event.kind === 'raised').map(({ incarnation }) => incarnation)
  if (incarnations.length === 0) return new Map()
  const rows = await sql<Array<{ incarnation: number; site: string }>>`
    select incarnation, left(attributes ->> 'site', ${LONGEST_SITE}) as site from devices
    where incarnation in (select unnest(${`{${incarnations.join(',')}}`}::text::int[])) and jsonb_typeof(attributes -> 'site') = 'string'`
  return new Map(rows.map(({ incarnation, site }) => [incarnation, site]))
}

function list(sql: Queries, texts: string[]) {
  return sql`select value from json_array_elements_text(${JSON.stringify(texts)}::text::json)`
}
