/** docs/asyncapi.yaml is a valid AsyncAPI document, and says what the topics, the decoder, the HTTP interface and docs/protocol.md say. */
import { createHash, createPublicKey } from 'node:crypto'
import specs from '@asyncapi/specs'
import { Ajv, type AnySchemaObject, type ValidateFunction } from 'ajv'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { decode } from '../../api/ingest/decode.ts'
import type { MessageKind } from '../../api/ingest/log.ts'
import { REASONS } from '../../api/ingest/reasons.ts'
import { maySubscribe, topicPrefix, uplinkOf } from '../../api/mqtt/topics.ts'
import { verifyUpdate } from '../../infra/simulator/firmware/verify.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import { keyIdOf, verifiedPayload } from '../../twin-models/firmware/envelope.ts'
import { JOB_TYPE, jobMessageSchema, jobSchema } from '../../twin-models/firmware/job.ts'
import { MANIFEST_TYPE, manifestSchema } from '../../twin-models/firmware/manifest.ts'
import { blocksOf, section } from '../support/examples.ts'
import { textOf } from '../support/repository.ts'

interface Document {
  channels: { [name: string]: { address: string; parameters?: { [name: string]: unknown }; messages: { [name: string]: unknown } } }
  operations: { [name: string]: { action: 'send' | 'receive'; channel: { $ref: string } } }
  components: {
    parameters: { [name: string]: { examples: string[] } }
    messages: { [name: string]: { payload: object; examples?: Array<{ name: string; payload: unknown }> } }
    schemas: { Reason: { enum: string[] } }
  }
}

const document: Document = parse(textOf('docs/asyncapi.yaml'))
const { channels, operations, components } = document
const PREFIX = topicPrefix('demo', 't-1')
const NOW = Date.parse('2026-11-21T06:18:00Z')

/** It brings the schema of JSON Schema along. */
const OFFICIAL = specs.schemas['3.0.0'] as AnySchemaObject
const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true })
ajv.addSchema(document, 'castor')
const validators = new Map<string, ValidateFunction>(
  Object.keys(components.messages).map((name) => [name, ajv.compile({ $ref: `castor#/components/messages/${name}/payload` })]),
)

test('the document is valid by the official schema of AsyncAPI 3.0', () => {
  const validate = new Ajv({ strict: false, validateFormats: false, meta: false, validateSchema: false }).compile(OFFICIAL)
  validate(document)
  expect(validate.errors).toBeNull()
  const { info: _, ...without } = document as Document & { info: unknown }
  expect(validate(without)).toBe(false)
})

test('every reference leads somewhere', () => {
  const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#([^"]+)"/g)].map(([, pointer]) => pointer!)
  expect(refs.length).toBeGreaterThan(100)
  expect(refs.filter((pointer) => at(pointer) === undefined)).toEqual([])
})

describe('every example', () => {
  const examples = Object.entries(components.messages).flatMap(([message, { examples = [] }]) =>
    examples.map(({ name, payload }) => [message, name, payload] as const),
  )

  test('is there for each message that has a payload', () => {
    expect(Object.keys(components.messages).filter((message) => !examples.some(([of]) => of === message))).toEqual(['ask'])
  })

  test.each(examples)('of %s (%s) is valid by its schema', (message, _, payload) => {
    const validate = validators.get(message)!
    validate(payload)
    expect(validate.errors).toBeNull()
  })

  const uplink = examples.filter(([message]) => operationOf(message)?.action === 'send')

  test.each(uplink)('of %s (%s) is taken by the decoder without a word', (message, _, payload) => {
    const sent = uplinkOf(topicOf(message), PREFIX)!
    const bytes = Buffer.from(JSON.stringify(payload))
    const model = modelOf(message === 'event' ? 'pump' : 'thermostat')!
    const decoded = decode({ incarnation: 1, receivedAt: NOW, payload: bytes, size: bytes.length, ...sent }, model, 't-1')
    expect(decoded.problems).toEqual([])
  })
})

test.each([
  ['telemetry', { temperature: null }],
  ['telemetry', { id: 'm-1', temperature: 21 }],
  ['event', { litresPerMinute: 1 }],
  ['presence', { status: 'away' }],
  ['reported', { targetTemperature: 21 }],
  ['reported', { rejected: { targetTemperature: { code: 'no' } } }],
  ['reported', { id: 'r-1' }],
  ['response', { status: 'failed' }],
  ['response', { status: 'running', progress: 101 }],
  ['response', { status: 'done' }],
  ['updateStatus', { status: 'healthy' }],
  ['updateStatus', { status: 'failed' }],
  ['updateStatus', { status: 'rejected', message: 'x' }],
  ['updateStatus', { status: 'downloading', progress: -1 }],
  ['updateStatus', { status: 'downloading', output: 1 }],
])('a wrong %s is wrong by its schema as it is for the decoder: %j', (message, payload) => {
  expect(validators.get(message)!(payload)).toBe(false)
  const bytes = Buffer.from(JSON.stringify(payload))
  const sent = uplinkOf(topicOf(message), PREFIX)!
  const decoded = decode({ incarnation: 1, receivedAt: NOW, payload: bytes, size: bytes.length, ...sent }, modelOf('thermostat')!, 't-1')
  expect(decoded.problems).not.toEqual([])
})

describe('the topics', () => {
  test('that a device sends on are those of the topic grammar, all of them', () => {
    const kinds = topics('send').map((topic) => uplinkOf(topic, PREFIX)?.kind)
    const all: MessageKind[] = ['telemetry', 'telemetry', 'event', 'presence', 'reported', 'response', 'update', 'get']
    expect(kinds).toEqual(all)
  })

  test('that it receives on are those that it may subscribe to, and are taken for nothing that it sends', () => {
    const asked = [`commands/${COMMAND}/request`, `commands/${COMMAND}/cancel`, `updates/${UPDATE}/job`, `updates/${UPDATE}/cancel`]
    expect(topics('receive')).toEqual(['desired', ...asked, 'errors'].map((rest) => PREFIX + rest))
    for (const topic of topics('receive')) {
      expect(maySubscribe(topic, PREFIX)).toBe(true)
      expect(uplinkOf(topic, PREFIX)?.kind).toBe('unknown')
    }
  })

  test('stand in docs/protocol.md, and so do the paths of HTTP', () => {
    const page = textOf('docs/protocol.md')
    for (const { address } of Object.values(channels)) {
      const named = address
        .replace('castor/v1/{tenant}/{device}/', '')
        .replace(/{(command|update)}/, '{id}')
        .replace('{event}', '{name}')
      expect(page).toContain(named.startsWith('/') ? `${named}\`` : `\`${named}\``)
    }
  })
})

test('the reasons are those of the catalogue', () => {
  expect(components.schemas.Reason.enum).toEqual(expect.arrayContaining(Object.keys(REASONS)))
})

test('what docs/protocol.md shows of wishes, commands and what is pending is valid by a schema', () => {
  const shown = ['Wishes: `desired` and `reported`', 'Commands', 'What is pending, over HTTP'].flatMap(shownOf)
  const fitting = shown.map((payload) =>
    ['reported', 'request', 'pending', 'desired'].filter((message) => validators.get(message)!(payload)),
  )
  expect(fitting).toEqual([['reported', 'desired'], ['reported', 'desired'], ['request'], ['pending']])
})

describe('what docs/protocol.md shows of an update', () => {
  const [job, body, manifest, ...more] = shownOf('Updates of its firmware')
  const words = more.slice(0, -1)
  const { directorKey, releaseKey, message } = more.at(-1) as { directorKey: string; releaseKey: string; message: unknown }

  test('is valid by its schema, and by ours', () => {
    expect(validators.get('job')!(job)).toBe(true)
    expect(ajv.validate({ $ref: 'castor#/components/schemas/Job' }, body), ajv.errorsText()).toBe(true)
    expect(ajv.validate({ $ref: 'castor#/components/schemas/Manifest' }, manifest), ajv.errorsText()).toBe(true)
    expect([jobSchema.parse(body), manifestSchema.parse(manifest)]).toEqual([body, manifest])
    expect(words).toHaveLength(2)
    for (const word of words) expect(validators.get('updateStatus')!(word)).toBe(true)
  })

  const publicKeyOf = (key: string) => createPublicKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'spki' })

  test('to try the checks with is signed by the keys that it shows, and is the example of the document', () => {
    const envelopes = jobMessageSchema.parse(message)
    const check = (envelope: typeof envelopes.job, type: string, key: string) => {
      const publicKey = publicKeyOf(key)
      expect(envelope.signatures[0]!.keyid).toBe(keyIdOf(publicKey))
      return JSON.parse(verifiedPayload(envelope, type, publicKey)!)
    }
    expect(check(envelopes.job, JOB_TYPE, directorKey)).toEqual(body)
    expect(check(envelopes.manifest, MANIFEST_TYPE, releaseKey)).toEqual(manifest)
    expect(components.messages.job!.examples![0]!.payload).toEqual(message)
  })

  test('to try the checks with is accepted by the device that it is for, with the artifact that it names', () => {
    const keys = (key: string) => new Map([[keyIdOf(publicKeyOf(key)), publicKeyOf(key)]])
    const trust = { director: keys(directorKey), release: keys(releaseKey) }
    const runs = { version: '1.4.2', sha256: 'b'.repeat(64) }
    const knows = { registration: 17, runs, manifest: undefined, counters: new Map([['thermostat', 14]]), nonces: new Set<string>() }
    const self = { tenant: 'demo', device: 't-1', model: 'thermostat', hardware: 't-2026', ...knows, battery: 81, freeBytes: 1e6 }
    const { job, manifest } = jobMessageSchema.parse(message)
    const verdict = verifyUpdate({ id: UPDATE, job, manifest }, self, trust, NOW)
    expect(verdict.status).toBe('accepted')
    const sha256 = createHash('sha256').update('firmware 1.5.0\n').digest('hex')
    expect(verdict).toMatchObject({ manifest: { sha256, size: 15 } })
  })
})

function shownOf(title: string): unknown[] {
  return blocksOf(section('docs/protocol.md', title), 'json').map((text) => JSON.parse(text))
}

const COMMAND = components.parameters.command!.examples[0]!
const UPDATE = components.parameters.update!.examples[0]!

/** Over MQTT, in the order of the document. */
function topics(action: 'send' | 'receive'): string[] {
  return Object.values(operations)
    .filter((operation) => operation.action === action && !operation.channel.$ref.endsWith('OverHttp'))
    .map(({ channel }) => filled((at(channel.$ref.slice(1)) as Document['channels'][string]).address))
}

function topicOf(message: string): string {
  return filled(Object.values(channels).find((channel) => message in channel.messages)!.address)
}

function operationOf(message: string): Document['operations'][string] | undefined {
  const [name] = Object.entries(channels).find(([, channel]) => message in channel.messages)!
  return Object.values(operations).find(({ channel }) => channel.$ref === `#/channels/${name}` && !name.endsWith('OverHttp'))
}

function filled(address: string): string {
  return address.replaceAll(/\{(\w+)\}/g, (_, name: string) => components.parameters[name]!.examples[0]!)
}

function at(pointer: string): unknown {
  return pointer
    .slice(1)
    .split('/')
    .reduce<unknown>((inner, key) => (inner as { [key: string]: unknown } | undefined)?.[key], document)
}
