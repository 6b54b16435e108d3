/** Compares what Castor acknowledged with what it has, in Postgres and over REST. */
import type { Sql } from '../../infra/postgres/connect.ts'
import type { Ledger } from './ledger.ts'
import { verifyMessages } from './verify-messages.ts'
import { type TwinDocument, verifyLatest, verifySilences } from './verify-twins.ts'

export interface Findings {
  add(what: string, detail: string): void
  /** For a reader: each kind of violation, how often, and some of them in full. */
  lines(): string[]
  readonly count: number
}

export interface VerifyOptions {
  sql: Sql
  tenant: string
  devices: string[]
  ledger: Ledger
  twin(device: string): Promise<TwinDocument>
}

export interface Verdict {
  findings: Findings
  /** For the summary. */
  acknowledged: number
  silences: number
}

const DETAILS_SHOWN = 5

/** Everything must be settled: nothing is sent any more, and nothing is under way (see settled.ts). */
export async function verify(options: VerifyOptions, findings = createFindings()): Promise<Verdict> {
  const { sql, tenant, devices, ledger, twin } = options
  const incarnations = await incarnationsOf(sql, tenant, devices)
  const context = { sql, tenant, incarnations, ledger, twin }
  await verifyMessages(context, findings)
  await verifyLatest(context, findings)
  const silences = await verifySilences(context, (incarnation) => presenceTimeoutOf(sql, incarnation), findings)
  return { findings, acknowledged: ledger.count, silences }
}

export function createFindings(): Findings {
  const found = new Map<string, { count: number; details: string[] }>()
  return {
    add(what, detail) {
      const entry = found.get(what) ?? { count: 0, details: [] }
      found.set(what, entry)
      entry.count += 1
      if (entry.details.length < DETAILS_SHOWN) entry.details.push(detail)
    },
    lines: () => [...found].flatMap(([what, { count, details }]) => [`${what}: ${count}`, ...details.map((detail) => `    ${detail}`)]),
    get count() {
      return [...found.values()].reduce((sum, { count }) => sum + count, 0)
    },
  }
}

export async function incarnationsOf(sql: Sql, tenant: string, devices: string[]): Promise<Map<string, number>> {
  const rows = await sql<{ device: string; incarnation: number }[]>`
    select device, incarnation from devices where tenant = ${tenant} and device in ${sql(devices)}`
  return new Map(rows.map(({ device, incarnation }) => [device, incarnation]))
}

/** The twin carries its model's settings. */
async function presenceTimeoutOf(sql: Sql, incarnation: number): Promise<number> {
  const [row] = await sql<{ state: string }[]>`select state from devices where incarnation = ${incarnation}`
  return JSON.parse(row!.state).settings.presenceTimeoutMs
}
