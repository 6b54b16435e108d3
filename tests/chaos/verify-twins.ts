/** Do the twins tell the truth: latest values, presence, and no decision that a device was silent while it spoke? */
import type { Sql } from '../../infra/postgres/connect.ts'
import type { Ledger } from './ledger.ts'
import type { Findings } from './verify.ts'

export interface TwinDocument {
  id: string
  presence: { status: string; since: string; reason?: string }
  telemetry: Record<string, { value: unknown; ts: string; receivedAt: string; messageId?: string }>
}

export interface TwinContext {
  sql: Sql
  tenant: string
  incarnations: ReadonlyMap<string, number>
  twin(device: string): Promise<TwinDocument>
  ledger: Ledger
}

const READS_AT_ONCE = 8
/** Between sending a message and its receipt being stamped, and for the lane's clock. */
const SLACK_MS = 1_000

/** Every device of the fleet spoke within its timeout: it must be shown online. */
export async function verifyOnline({ twin, incarnations }: Pick<TwinContext, 'twin' | 'incarnations'>, findings: Findings): Promise<void> {
  await forEach([...incarnations.keys()], async (device) => {
    const { presence } = await twin(device)
    if (presence.status !== 'online') findings.add('shown offline though it spoke', `${device}: ${JSON.stringify(presence)}`)
  })
}

/** The twin shows the newest stored value of each property, and nothing older than what was acknowledged. */
export async function verifyLatest(context: TwinContext, findings: Findings): Promise<void> {
  const { incarnations, twin, ledger } = context
  const acknowledged = new Map<string, number>()
  for await (const piece of ledger.read(1_000)) {
    for (const { device, kind, times, ts, values } of piece) {
      if (kind !== 'telemetry' || times !== 'own') continue
      for (const name of Object.keys(values)) {
        const key = `${device} ${name}`
        acknowledged.set(key, Math.max(ts, acknowledged.get(key) ?? 0))
      }
    }
  }
  await forEach([...incarnations], async ([device, incarnation]) => {
    const shown = (await twin(device)).telemetry
    for (const { name, ts, value } of await newestStored(context, incarnation)) {
      const found = shown[name]
      if (!found || Date.parse(found.ts) !== ts || JSON.stringify(found.value) !== JSON.stringify(value)) {
        findings.add('twin does not show the newest value', `${device} ${name}: shows ${JSON.stringify(found)}, stored ${value} at ${ts}`)
      }
      const newest = acknowledged.get(`${device} ${name}`) ?? 0
      if (ts < newest) findings.add('twin is older than what was acknowledged', `${device} ${name}: ${ts} before ${newest}`)
      acknowledged.delete(`${device} ${name}`)
    }
  })
  for (const key of acknowledged.keys()) findings.add('acknowledged property is nowhere', key)
}

async function newestStored({ sql, tenant }: TwinContext, incarnation: number) {
  const rows = await sql<{ name: string; ts: Date; number: number | null; other: string | null }[]>`
    select p.name, t.ts, t.number, t.other
    from properties p
    cross join lateral (
      select ts, number, other from telemetry where incarnation = ${incarnation} and property = p.property order by ts desc limit 1
    ) t
    where p.tenant = ${tenant}`
  return rows.map(({ name, ts, number, other }) => ({ name, ts: ts.getTime(), value: number ?? JSON.parse(other ?? 'null') }))
}

/** A decision "offline by silence" is wrong if a message of the device was acknowledged within the timeout before it. */
export async function verifySilences(
  { sql, incarnations, ledger }: TwinContext,
  presenceTimeoutMs: (incarnation: number) => Promise<number>,
  findings: Findings,
): Promise<number> {
  const silences = await sql<{ incarnation: number; at: Date; event: string }[]>`
    select incarnation, at, event from twin_history
    where kind = 'presence-changed' and event::jsonb ->> 'after' = 'offline' and event::jsonb ->> 'reason' in ('silence', 'backstop')`
  const devices = new Map([...incarnations].map(([device, incarnation]) => [incarnation, device]))
  const judged = await Promise.all(
    silences
      .filter(({ incarnation }) => devices.has(incarnation))
      .map(async ({ incarnation, at }) => ({
        device: devices.get(incarnation)!,
        at: at.getTime(),
        timeoutMs: await presenceTimeoutMs(incarnation),
      })),
  )
  for await (const piece of ledger.read(1_000)) {
    for (const { device, sentAt, ackedAt } of piece) {
      const wrong = judged.find((s) => s.device === device && sentAt > s.at - s.timeoutMs + SLACK_MS && ackedAt < s.at)
      if (wrong) findings.add('decided silent though it spoke', `${device} at ${wrong.at}, acknowledged at ${ackedAt}`)
    }
  }
  return judged.length
}

async function forEach<T>(list: T[], act: (item: T) => Promise<void>): Promise<void> {
  const queue = list.values()
  const worker = async () => {
    for (const item of queue) await act(item)
  }
  await Promise.all(Array.from({ length: READS_AT_ONCE }, worker))
}
