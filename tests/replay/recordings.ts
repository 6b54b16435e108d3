/** Recordings: a run of a workflow as its history, and what was decided in it. Each stands in a file of `histories`. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Decision } from '../../activities/ports.ts'
import type { Sql } from '../../infra/postgres/connect.ts'
import { isOutstanding } from '../../twin-models/core/delta.ts'
import type { RolloutStatus } from '../../twin-models/core/rollout-types.ts'
import { TICKET_STATUSES } from '../../twin-models/core/ticket-types.ts'
import type { TwinEvent } from '../../twin-models/core/types.ts'
import type { BulkCarried, BulkEnd, TwinStart } from '../../workflows/messages.ts'
import type { BulkWorker } from '../workflows/bulk-changes.ts'
import type { PredictionWorker } from '../workflows/predictions.ts'
import type { RolloutWorker } from '../workflows/rollouts.ts'
import type { TicketWorker } from '../workflows/tickets.ts'
import type { Twins } from '../workflows/twins.ts'
import type { WebhookWorker } from '../workflows/webhook-worker.ts'

export interface Recording {
  workflowId: string
  /** In the words of `COVERED`. */
  covers: string[]
  history: { events: HistoryEvent[] }
}

interface HistoryEvent {
  workflowExecutionContinuedAsNewEventAttributes?: { input: { payloads: Array<{ data: string }> } }
}

/** What a scene plays on. */
export interface Stage {
  sql: Sql
  twins: Twins
  bulk: BulkWorker
  rollouts: RolloutWorker
  webhooks: WebhookWorker
  predictions: PredictionWorker
  tickets: TicketWorker
}

/** Each leaves a workflow behind and says which run to keep. */
export type Scenes = Record<string, (stage: Stage) => Promise<{ workflowId: string; runId?: string }>>

export const FOLDER = join(import.meta.dirname, 'histories')

export function fileOf(scene: string): string {
  return `${scene.toLowerCase().replaceAll(' ', '-')}.json`
}

export function recordings(): string[] {
  return readdirSync(FOLDER)
}

export function read(file: string): Recording {
  return JSON.parse(readFileSync(join(FOLDER, file), 'utf8'))
}

/** What twins decide, with how where that makes other commands or carries another state. */
const DECIDED: { [kind in TwinEvent['kind']]: string[] } = {
  configured: [],
  'presence-changed': ['online', 'offline'],
  'range-changed': [],
  'firmware-changed': [],
  'health-changed': [],
  'device-event': [],
  'desired-changed': [],
  'desired-acknowledged': [],
  'desired-converged': [],
  'desired-diverged': ['refused', 'deadline', 'other-writer', 'device'],
  'desired-conflict': ['desired', 'device'],
  'reported-changed': [],
  'command-requested': [],
  'command-released': [],
  'command-ended': ['succeeded', 'failed', 'failed unknown', 'expired', 'cancelled'],
  'command-late': [],
  'update-requested': [],
  'update-released': [],
  'update-postponed': [],
  'update-awaited': [],
  'update-soaking': [],
  'update-ended': ['healthy', 'rolled-back'],
  'rules-changed': [],
  'alarm-raised': [],
  'alarm-updated': [],
  'alarm-acknowledged': [],
  'alarm-shelved': [],
  'alarm-assigned': [],
  'alarm-commented': [],
  'alarm-cleared': [],
  'maintenance-changed': [],
}
const BULK: Array<BulkCarried['status'] | BulkEnd['status']> = ['running', 'paused', 'halted', 'cancelled', 'completed']
const ROLLOUT: RolloutStatus[] = ['running', 'paused', 'halted', 'rolling-back', 'completed', 'cancelled']
/** What stands in the recording of such a scene is its name. */
export const ROLLOUT_SCENES = ['a rollout continues as new', 'a rollout goes on after it']
export const WEBHOOK_SCENES = ['a webhook recovers', 'a webhook is skipped and stopped', 'a webhook in trouble continues as new']
export const PREDICTION_SCENES = ['a prediction is answered', 'a prediction fails']
const CONTINUED = {
  asked: 'continued with wishes and commands under way',
  updating: 'continued with an update under way',
  alarmed: 'continued with an open alarm',
}
export const TICKET_SCENES = ['a ticket relapses and is predicted', 'a ticket continues as new', 'a ticket goes on after it']

/** All of it stands in a recording. */
export const COVERED = [
  ...Object.entries(DECIDED).flatMap(([kind, hows]) => (hows.length === 0 ? [kind] : hows.map((how) => `${kind} ${how}`))),
  'refused precondition-failed',
  ...Object.values(CONTINUED),
  ...BULK.map((status) => `bulk ${status}`),
  ...ROLLOUT.map((status) => `rollout ${status}`),
  ...ROLLOUT_SCENES,
  ...WEBHOOK_SCENES,
  ...PREDICTION_SCENES,
  ...TICKET_STATUSES.map((status) => `ticket ${status}`),
  ...TICKET_SCENES,
]

export function coveredBy({ events, answers }: Decision): string[] {
  const refusals = answers.flatMap(({ answer }) => (answer as { refused?: string }).refused ?? [])
  return [...events.map(wordsOf), ...refusals.map((refused) => `refused ${refused}`)]
}

function wordsOf(event: TwinEvent): string {
  switch (event.kind) {
    case 'presence-changed':
      return `${event.kind} ${event.after}`
    case 'desired-diverged':
      return `${event.kind} ${event.reason}`
    case 'desired-conflict':
      return `${event.kind} ${event.winner}`
    case 'update-ended':
      return `${event.kind} ${event.status}`
    case 'command-ended':
      return [event.kind, event.status, ...(event.code === 'unknown' ? ['unknown'] : [])].join(' ')
    default:
      return event.kind
  }
}

/** What a run that ended by continue-as-new carried on of what takes long. */
export function continuedWith({ events }: Recording['history']): string[] {
  const data = events.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.input.payloads[0]?.data
  if (data === undefined) return []
  const { carried } = JSON.parse(Buffer.from(data, 'base64').toString()) as TwinStart
  if (carried?.commands === undefined) return []
  const isAsked = carried.commands.length > 0 && Object.values(carried.desired.leaves).some(isOutstanding)
  const isAlarmed = Object.keys(carried.alarms ?? {}).length > 0
  return [...(isAsked ? [CONTINUED.asked] : []), ...(carried.update ? [CONTINUED.updating] : []), ...(isAlarmed ? [CONTINUED.alarmed] : [])]
}
