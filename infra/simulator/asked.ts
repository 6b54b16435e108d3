/** What Castor asks of a device, read from what came down. */
import { z } from 'zod'
import type { JsonObject, Value } from '../../twin-models/core/types.ts'

export type Asked = Wish | Command | AskedUpdate | { kind: 'cancel' | 'cancel-update'; id: string }

export interface Wish {
  kind: 'wish'
  version: number
  state: JsonObject
}

export interface Command {
  kind: 'command'
  id: string
  name: string
  input?: Value
  /** Epoch ms. */
  expiresAt: number
}

/** Nothing of it is believed yet, nor even read: the device checks it, and says what is wrong. */
export interface AskedUpdate {
  kind: 'update'
  id: string
  job: unknown
  manifest: unknown
  url: string
}

const json = z.json() as z.ZodType<Value>
const wish = z.object({ version: z.number(), state: z.record(z.string(), json) })
const command = z.object({ name: z.string(), input: json.optional(), expiresAt: z.iso.datetime() })
const cancel = z.object({ id: z.string() })
const update = z.object({ job: z.unknown(), manifest: z.unknown(), url: z.string() })
const pending = z.object({
  desired: wish.nullish(),
  commands: z.array(command.extend({ id: z.string() })).default([]),
  cancels: z.array(cancel).default([]),
  update: update.extend({ id: z.string() }).nullish(),
  updateCancels: z.array(cancel).default([]),
})

/** Of an MQTT message below the device's own topics. Undefined when it is none of these, or unreadable. */
export function askedBy(topic: string, payload: string): Asked | undefined {
  const body = parsed(payload)
  const [first, id, what] = topic.split('/')
  if (topic === 'desired') return wishOf(wish.safeParse(body).data)
  if (id === undefined) return undefined
  switch (`${first} ${what}`) {
    case 'commands cancel':
      return { kind: 'cancel', id }
    case 'updates cancel':
      return { kind: 'cancel-update', id }
    case 'commands request': {
      const request = command.safeParse(body).data
      return request && commandOf({ id, ...request })
    }
    case 'updates job': {
      const job = update.safeParse(body).data
      return job && { kind: 'update', id, ...job }
    }
  }
  return undefined
}

/** Of an answer of GET /device/v1/pending, in order. */
export function askedIn(payload: string): Asked[] {
  const found = pending.safeParse(parsed(payload)).data
  if (!found) return []
  const wished = wishOf(found.desired ?? undefined)
  const cancels = found.cancels.map(({ id }): Asked => ({ kind: 'cancel', id }))
  const called = found.updateCancels.map(({ id }): Asked => ({ kind: 'cancel-update', id }))
  const offered = found.update ? [{ kind: 'update', ...found.update } as const] : []
  return [...(wished ? [wished] : []), ...cancels, ...called, ...found.commands.map(commandOf), ...offered]
}

function wishOf(body: z.infer<typeof wish> | undefined): Wish | undefined {
  return body && { kind: 'wish', version: body.version, state: body.state }
}

function commandOf({ id, name, input, expiresAt }: z.infer<typeof command> & { id: string }): Command {
  return { kind: 'command', id, name, ...(input !== undefined && { input }), expiresAt: Date.parse(expiresAt) }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
