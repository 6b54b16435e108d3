/**
 * The desired part of a twin as REST shows it. Whether a wish was sent is no decision: the bridge writes it beside (table wishes), and it is
 * joined here.
 */
import { z } from '@hono/zod-openapi'
import type { DecidedPart, WishMetadata } from '../../twin-models/core/decided.ts'
import type { JsonObject } from '../../twin-models/core/types.ts'
import type { TwinRow } from '../ports.ts'
import { time } from './schemas.ts'

export const jsonObject = z.record(z.string(), z.unknown(), 'must be an object')

const wishedLeaf = z
  .object({
    version: z.int().openapi({ description: 'The desired version that wished it.' }),
    at: time,
    by: z.string().openapi({ description: 'Who: the name of the API key, or of the bulk change.' }),
    status: z.enum(['pending', 'sent', 'acknowledged', 'converged', 'diverged']),
    since: time,
    deadline: time.optional().openapi({ description: 'When it counts as diverged.' }),
    reason: z.enum(['refused', 'deadline', 'other-writer', 'device']).optional().openapi({ description: 'Why it diverged.' }),
    code: z.string().optional().openapi({ description: 'The device’s, where it refused.' }),
    message: z.string().optional(),
  })
  .openapi('WishedLeaf')

export const desiredPart = z.object({
  version: z.int().openapi({ description: 'Rises with every change; 0: nothing was ever wished.', example: 3 }),
  state: jsonObject.openapi({ description: 'What is wished.', example: { targetTemperature: 21.5 } }),
  metadata: z.record(z.string(), wishedLeaf).openapi({
    description: 'Of each single value, by JSON pointer into `state`.',
    example: {
      '/targetTemperature': {
        version: 3,
        at: '2026-11-21T06:00:00.000Z',
        by: 'admin',
        status: 'sent',
        since: '2026-11-21T06:00:00.000Z',
      },
    },
  }),
})

export const delta = jsonObject.openapi({
  description: 'All of the desired state that differs from the reported one, diverged wishes included.',
  example: { targetTemperature: 21.5 },
})

export const desiredSchema = desiredPart.extend({ delta }).openapi('Desired')

interface Desired {
  version: number
  state: JsonObject
  metadata: { [pointer: string]: Omit<WishMetadata, 'status'> & { status: WishMetadata['status'] | 'sent' } }
  delta: JsonObject
}

export function desiredOf(row: TwinRow): Desired {
  const { desired, delta } = JSON.parse(shownDecided(row)) as DecidedPart
  return {
    version: desired?.version ?? 0,
    state: desired?.state ?? {},
    metadata: desired?.metadata ?? {},
    delta: delta ?? {},
  }
}

/** Desired and reported state as the twin has decided them. */
export function standingOf({ decided }: Pick<TwinRow, 'decided'>) {
  const { desired, reported } = JSON.parse(decided) as DecidedPart
  return { version: desired?.version ?? 0, state: desired?.state ?? {}, reported: reported?.state ?? {} }
}

/** The decided part, JSON, with `sent` where a pending wish was handed to a connection. Nearly always it stays the text that it is. */
export function shownDecided({ decided, sentVersion }: Pick<TwinRow, 'decided' | 'sentVersion'>): string {
  if (!sentVersion || !decided.includes('"pending"')) return decided
  const parts = JSON.parse(decided) as DecidedPart
  const leaves: Desired['metadata'] = parts.desired?.metadata ?? {}
  for (const leaf of Object.values(leaves)) {
    if (leaf.status === 'pending' && leaf.version <= sentVersion) leaf.status = 'sent'
  }
  return JSON.stringify(parts)
}
