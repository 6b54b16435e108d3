/** Is everything that was acknowledged there, with its values and times, and nothing twice? */
import type { Sql } from '../../infra/postgres/connect.ts'
import type { AcknowledgedMessage } from '../../infra/simulator/report.ts'
import type { Ledger } from './ledger.ts'
import type { Findings } from './verify.ts'

const PIECE = 1_000

export interface MessageContext {
  sql: Sql
  tenant: string
  /** Device id → incarnation. */
  incarnations: ReadonlyMap<string, number>
  ledger: Ledger
}

export async function verifyMessages(context: MessageContext, findings: Findings): Promise<void> {
  const history = await deviceEventsIn(context)
  const marks = await verifyDeadLetters(context, findings)
  for await (const piece of context.ledger.read(PIECE)) {
    const telemetry = piece.filter((m) => m.kind === 'telemetry')
    await verifyOwnTimes(
      context,
      telemetry.filter((m) => m.times === 'own'),
      findings,
    )
    await verifyReceiptTimes(
      context,
      telemetry.filter((m) => m.times === 'receipt'),
      findings,
    )
    for (const message of piece) {
      if (message.kind === 'event') verifyDeviceEvent(message, history, findings)
      if (message.kind === 'garbage' && !marks.has(message.mark!)) findings.add('garbage without a dead letter', describe(message))
    }
  }
}

interface Wanted {
  i: number
  incarnation: number
  name: string
  ts: string
  id: string | null
  until: string
  number: number | null
  other: string | null
}

function wanted({ incarnations }: MessageContext, messages: AcknowledgedMessage[]): Wanted[] {
  return messages.flatMap((message, i) =>
    Object.entries(message.values).map(([name, value]) => ({
      i,
      incarnation: incarnations.get(message.device)!,
      name,
      ts: new Date(message.ts).toISOString(),
      id: message.id ?? null,
      until: new Date(message.ackedAt + 1_000).toISOString(),
      number: typeof value === 'number' ? value : null,
      other: typeof value === 'number' ? null : JSON.stringify(value),
    })),
  )
}

/** A message with a time of its own: its values stand under (device, property, ts), which the table holds once. */
async function verifyOwnTimes(context: MessageContext, messages: AcknowledgedMessage[], findings: Findings): Promise<void> {
  if (messages.length === 0) return
  const { sql, tenant } = context
  // A reading without a usable time is stored under its time of receipt, which may be this very millisecond: then the later stays.
  const missing = await sql<{ i: number; name: string; found: number | string | null }[]>`
    select w.i, w.name, coalesce(t.number::text, t.other) as found
    from jsonb_to_recordset(${JSON.stringify(wanted(context, messages))}::text::jsonb)
      as w(i int, incarnation int, name text, ts timestamptz, id text, number float8, other text)
    left join properties p on p.tenant = ${tenant} and p.name = w.name
    left join telemetry t on t.incarnation = w.incarnation and t.property = p.property and t.ts = w.ts
    where t.ts is null
      or ((t.number is distinct from w.number or t.other::jsonb is distinct from w.other::jsonb)
        and not (t.ts = t.received_at and t.message_id is distinct from w.id))`
  for (const { i, name, found } of missing) {
    findings.add(found === null ? 'acknowledged value is missing' : 'value differs', `${name} found ${found} of ${describe(messages[i]!)}`)
  }
}

/** A message whose clock was wrong: exactly once, under the time of one of its receipts. */
async function verifyReceiptTimes(context: MessageContext, messages: AcknowledgedMessage[], findings: Findings): Promise<void> {
  if (messages.length === 0) return
  const { sql, tenant } = context
  const rows = await sql<{ i: number; name: string; count: number; rivals: number }[]>`
    select w.i, w.name, count(t.*) filter (where t.message_id = w.id)::int as count, count(t.*)::int as rivals
    from jsonb_to_recordset(${JSON.stringify(wanted(context, messages))}::text::jsonb)
      as w(i int, incarnation int, name text, ts timestamptz, id text, until timestamptz)
    left join properties p on p.tenant = ${tenant} and p.name = w.name
    left join telemetry t on t.incarnation = w.incarnation and t.property = p.property
      and t.ts between w.ts - interval '1 second' and w.until
      and (t.message_id = w.id or t.ts = t.received_at)
    group by w.i, w.name`
  for (const { i, name, count, rivals } of rows) {
    // Two such readings received in the same millisecond have the same key: the one with the greater id stays.
    if (count === 0 && rivals === 0)
      findings.add('acknowledged value with a wrong clock is missing', `${name} of ${describe(messages[i]!)}`)
    if (count > 1) findings.add('counted twice', `${name}, ${count} times, of ${describe(messages[i]!)}`)
  }
}

/** Device and message id → how often the history has it, and under which time. */
async function deviceEventsIn({ sql, incarnations }: MessageContext): Promise<Map<string, number[]>> {
  const devices = new Map([...incarnations].map(([device, incarnation]) => [incarnation, device]))
  const found = new Map<string, number[]>()
  const rows = sql<{ incarnation: number; event: string; cause: string }[]>`
    select incarnation, event, cause from twin_history where kind = 'device-event'`
  for await (const piece of rows.cursor(PIECE)) {
    for (const { incarnation, event, cause } of piece) {
      const key = `${devices.get(incarnation)} ${JSON.parse(cause).messageId}`
      found.set(key, [...(found.get(key) ?? []), JSON.parse(event).ts])
    }
  }
  return found
}

function verifyDeviceEvent(message: AcknowledgedMessage, history: Map<string, number[]>, findings: Findings): void {
  const times = history.get(`${message.device} ${message.id}`) ?? []
  if (times.length === 0) findings.add('acknowledged device event is missing in the history', describe(message))
  if (times.length > 1) findings.add('device event counted twice', `${times.length} times: ${describe(message)}`)
  if (times.length === 1 && message.times === 'own' && times[0] !== message.ts) {
    findings.add('device event has another time', `${times[0]} of ${describe(message)}`)
  }
}

/** The marks of garbage among the dead letters. A dead letter that is not garbage was a good message. */
async function verifyDeadLetters({ sql, incarnations }: MessageContext, findings: Findings): Promise<Set<string>> {
  const marks = new Set<string>()
  const rows = sql<{ device: string; reason: string; detail: string; head: string }[]>`
    select device, reason, detail, encode(substr(raw, 1, 120), 'escape') as head from dead_letters where incarnation in ${sql([...incarnations.values()])}`
  for await (const piece of rows.cursor(PIECE)) {
    for (const { device, reason, detail, head } of piece) {
      const mark = new RegExp(`${device.replaceAll('.', '\\.')}-[0-9a-z]+-\\d+`).exec(head)?.[0]
      if (mark) marks.add(mark)
      else findings.add('a good message is a dead letter', `${device}: ${reason}, ${detail}: ${head}`)
    }
  }
  return marks
}

function describe({ device, kind, name, id, ts, values, ackedAt, attempts }: AcknowledgedMessage): string {
  const what = [device, kind, name, id, new Date(ts).toISOString(), JSON.stringify(values)].filter(Boolean).join(' ')
  return `${what} (acknowledged ${new Date(ackedAt).toISOString()}, sent ${attempts} times)`
}
