/** docs/asyncapi.yaml is a valid AsyncAPI document, and says what the topics, the decoder, the HTTP interface and docs/protocol.md say. */
import specs from '@asyncapi/specs'
import { Ajv, type AnySchemaObject, type ValidateFunction } from 'ajv'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { decode } from '../../api/ingest/decode.ts'
import type { MessageKind } from '../../api/ingest/log.ts'
import { REASONS } from '../../api/ingest/reasons.ts'
import { maySubscribe, topicPrefix, uplinkOf } from '../../api/mqtt/topics.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
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
    const all: MessageKind[] = ['telemetry', 'telemetry', 'event', 'presence', 'reported', 'response', 'get']
    expect(kinds).toEqual(all)
  })

  test('that it receives on are those that it may subscribe to, and are taken for nothing that it sends', () => {
    expect(topics('receive')).toEqual(
      ['desired', `commands/${COMMAND}/request`, `commands/${COMMAND}/cancel`, 'errors'].map((rest) => PREFIX + rest),
    )
    for (const topic of topics('receive')) {
      expect(maySubscribe(topic, PREFIX)).toBe(true)
      expect(uplinkOf(topic, PREFIX)?.kind).toBe('unknown')
    }
  })

  test('stand in docs/protocol.md, and so do the paths of HTTP', () => {
    const page = textOf('docs/protocol.md')
    for (const { address } of Object.values(channels)) {
      const named = address.replace('castor/v1/{tenant}/{device}/', '').replace('{command}', '{id}').replace('{event}', '{name}')
      expect(page).toContain(named.startsWith('/') ? `${named}\`` : `\`${named}\``)
    }
  })
})

test('the reasons are those of the catalogue', () => {
  expect(components.schemas.Reason.enum).toEqual(expect.arrayContaining(Object.keys(REASONS)))
})

test('what docs/protocol.md shows of wishes, commands and what is pending is valid by a schema', () => {
  const page = textOf('docs/protocol.md')
  const shown = ['Wishes: `desired` and `reported`', 'Commands', 'What is pending, over HTTP'].flatMap((title) => {
    const section = page.split(`\n## ${title}\n`)[1]!.split('\n## ')[0]!
    return [...section.matchAll(/^```json\n([\s\S]*?)^```$/gm)].map(([, text]) => JSON.parse(text!))
  })
  const fitting = shown.map((payload) =>
    ['reported', 'request', 'pending', 'desired'].filter((message) => validators.get(message)!(payload)),
  )
  expect(fitting).toEqual([['reported', 'desired'], ['reported', 'desired'], ['request'], ['pending']])
})

const COMMAND = components.parameters.command!.examples[0]!

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
