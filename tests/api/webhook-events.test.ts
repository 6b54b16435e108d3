/** The catalogue of webhook events against its own examples and against what twins really decide, and the bodies made of them. */
import { randomUUID } from 'node:crypto'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { EVENT_KINDS, eventJson } from '../../api/http/event-json.ts'
import { decidedEvent } from '../../api/live/live-event.ts'
import { shownTicket } from '../../api/ticket-shown.ts'
import { exampleEvent, webhookBody, webhookEvent } from '../../api/webhooks/body.ts'
import { initialTicket } from '../../twin-models/core/ticket.ts'
import type { TwinEvent, TwinInput, TwinRule } from '../../twin-models/core/types.ts'
import { EVENT_TYPES, eventTypeOf, isSubscribed, SUBSCRIPTIONS } from '../../twin-models/webhook-events/catalogue.ts'
import type { PlatformEvent } from '../../twin-models/webhook-events/platform-events.ts'
import { hotRule } from '../support/alarms.ts'
import { AskedTwin } from '../support/asked-twin.ts'
import { plan } from '../support/ticket-cases.ts'

const AT = Date.parse('2026-11-27T06:00:00.180Z')

// Strict: a word that JSON Schema does not know would be a mistake.
const ajv = new Ajv2020({ strict: true, allErrors: true, formats: { 'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/ } })
const schemas = new Map(EVENT_TYPES.map(({ type, schema }) => [type as string, ajv.compile(schema)]))

/** What is wrong with `data`. */
function problems(type: string, data: unknown): unknown {
  const validate = schemas.get(type)!
  return validate(data) ? [] : validate.errors
}

function rowOf({ kind, cause, ...event }: TwinEvent, revision = 3) {
  const stored = { event: JSON.stringify(event), cause: JSON.stringify(cause) }
  return { position: 12, at: AT, tenant: 'demo', device: 't-1', incarnation: 4, revision, kind, ...stored }
}

/** All kinds of events, as a twin decides them. */
function decidedEvents(): TwinEvent[] {
  const twin = new AskedTwin({
    ranges: { temperature: { minimum: 5, maximum: 40, hysteresis: 2 } },
    wishes: { target: { wins: 'desired', deadlineMs: 60_000 }, mode: { wins: 'device' } },
  })
  const firmware = { version: '1.2.0', sha256: 'ab' }
  twin.give({ kind: 'life', at: 1_000, messageId: 'm-1' })
  twin.give({ kind: 'reading', at: 1_001, name: 'temperature', value: 41.5, ts: 1_000, messageId: 'm-2' })
  twin.give({ kind: 'hello', at: 1_002, status: 'online', firmware, health: { ok: false, battery: 3, rssi: -70, errors: ['e'] } })
  twin.give({ kind: 'hello', at: 1_003, status: 'online', firmware: { version: '1.3.0' }, health: { ok: true } })
  twin.give({ kind: 'event', at: 1_004, name: 'doorOpened', ts: 1_000, data: null })
  twin.wish({ target: 21, mode: { fan: 'on' } })
  twin.report({ target: 20 }, { version: 1 })
  twin.report({ target: 21, mode: { fan: 'on' } }, { version: 1 })
  twin.report({ target: 24, mode: { fan: null } })
  twin.wish({ other: 1 })
  twin.report({}, { version: 3, rejected: { '/other': { code: 'no', message: 'never' } } })
  for (const id of ['a', 'b']) twin.command(id, { concurrency: 1, onlyLast: false })
  twin.answer('a', { status: 'succeeded', output: { n: [1] } })
  twin.answer('b', { status: 'failed', code: 'stuck', message: 'again' })
  twin.answer('a', { status: 'failed', code: 'stuck' })
  twin.command('c')
  twin.cancel('c')
  twin.due(twin.now + 70_000)
  twin.update('u-1', { rollout: 'r-1', windows: [[twin.now, twin.now + 90_000]], fromVersions: ['1.3.0'] })
  twin.answerUpdate('u-1', 'failed', 'no-space', 'full')
  twin.due(twin.now + 1_000)
  twin.due(twin.now + 10_000, [], { id: 'u-1', sentAt: null, status: 'scheduled' })
  twin.hello({ firmware: { version: '2', sha256: 'two' } })
  twin.due(twin.now + 20_000)
  twin.update('u-2')
  decideOnAlarms(twin)
  twin.give({ kind: 'silent', at: twin.now + 100_000, lastSeenAt: twin.now })
  return twin.events
}

/** With all that may stand in their events. */
function decideOnAlarms(twin: AskedTwin): void {
  const rules = (...set: TwinRule[]) => twin.give({ kind: 'rules', at: twin.now, set, removed: set.length > 0 ? [] : ['hot'] })
  const ask = (asked: object) => twin.give({ kind: 'alarm', at: twin.now, request: 'r', rule: 'hot', by: 'ann', ...asked } as TwinInput)
  const maintain = (until: number | null) =>
    twin.give({ kind: 'maintenance', at: twin.now, request: 'm', by: 'ann', until, reason: 'A bearing' })
  const read = (value: number) => twin.give({ kind: 'reading', at: twin.now, name: 'temperature', value, ts: twin.now })
  rules(hotRule())
  for (let n = 0; n < 4; n++) {
    read(50)
    if (n < 3) read(20)
  }
  const shelve = { action: 'shelve', until: twin.now + 60_000, note: 'later' }
  for (const asked of [shelve, { action: 'unshelve' }, { action: 'assign', assignee: 'bob' }, { action: 'assign', assignee: null }])
    ask(asked)
  for (const action of ['comment', 'acknowledge']) ask({ action, note: 'seen' })
  read(70)
  rules(hotRule({ version: 2 }))
  ask({ action: 'clear', note: 'known' })
  read(20)
  maintain(twin.now + 60_000)
  read(50)
  maintain(null)
  rules()
}

const ROLLOUT = {
  rollout: 'r-1',
  name: 'Thermostats to 1.4.0',
  firmware: { name: 'thermostat', version: '1.4.0' },
  devices: { total: 3, healthy: 1, failed: 1, left: 1 },
}
const OF_ALARM = { rule: 'bearing', version: 2, n: 3 }
/** As it is shown, with all that may be absent. */
const TICKET = shownTicket({
  ...{ id: randomUUID(), number: 17, incarnation: 4, device: 't-1', rule: 'vibration', ruleVersion: 1, alarm: 3, text: '', plan },
  ...{ changedAt: AT, endedAt: AT, alarms: 2, external: { system: 'erp', key: 'WO-1' }, asked: [] },
  state: {
    ...initialTicket(plan),
    ...{
      asked: { target: null, until: AT },
      assignee: 'ann',
      planned: { at: AT },
      maintenanceUntil: AT,
      doneAt: AT,
      reason: 'It rattles.',
    },
  },
})
const PLATFORM: PlatformEvent[] = [
  { kind: 'rule-event', at: AT, name: 'pump-trouble', ...OF_ALARM, on: 'raised', severity: 'major', text: 'It shakes', values: {} },
  { kind: 'rule-cut', at: AT, ...OF_ALARM, reason: 'loop', detail: 'It sets off itself.' },
  { kind: 'registered', at: AT, model: 'thermostat', modelVersion: '1.0.0', attributes: {} },
  { kind: 'removed', attributes: {}, at: AT, model: 'thermostat', modelVersion: '1.0.0' },
  { kind: 'dead-letter', at: AT, reason: 'wrong-type', detail: 'must be a number', topic: 'castor/v1/demo/t-1/telemetry', count: 3 },
  { kind: 'webhook-disabled', at: AT, webhook: 'wh_1', host: 'erp.example.com', reason: 'gone', detail: 'It answered 410' },
  { kind: 'target-failed', at: AT, target: 'ops', targetKind: 'email', reason: 'refused', detail: 'The mail server answered 550' },
  { kind: 'ticket-opened', at: AT, ticket: TICKET, what: ['opened', 'told'], text: 'Opened.', by: 'vibration', origin: { via: 'castor' } },
  {
    kind: 'ticket-updated',
    at: AT,
    ticket: TICKET,
    what: ['done'],
    text: 'Done.',
    by: 'eve',
    origin: { via: 'system', system: 'erp', messageId: 'm' },
  },
  { kind: 'ticket-closed', at: AT, ticket: TICKET, what: ['closed'], text: 'Closed.', origin: { via: 'castor' } },
  { kind: 'rollout-started', at: AT, ...ROLLOUT },
  { kind: 'rollout-halted', at: AT, ...ROLLOUT, reason: 'Somebody halted it.', wave: 1 },
  { kind: 'rollout-ended', at: AT, ...ROLLOUT, rollback: true, status: 'completed' },
  {
    ...{
      kind: 'prediction-made',
      at: AT,
      prediction: 'p-1',
      model: 'pump-failure',
      probability: 0.2,
      threshold: 0.7,
      high: false,
      horizon: '2d',
    },
    requestedBy: { kind: 'schedule', name: 'pump-failure' },
  },
]

describe('the catalogue', () => {
  test('has the types that the documentation names, each with what a receiver needs', () => {
    expect(SUBSCRIPTIONS).toEqual([
      '*',
      'device.created',
      'device.removed',
      'twin.online',
      'twin.offline',
      'twin.changed',
      'device.event',
      'desired.converged',
      'desired.diverged',
      'desired.conflict',
      'command.ended',
      'update.ended',
      'alarm.raised',
      'alarm.acknowledged',
      'alarm.cleared',
      'rule.event',
      'rule.cut',
      'ticket.opened',
      'ticket.updated',
      'ticket.closed',
      'rollout.started',
      'rollout.halted',
      'rollout.ended',
      'prediction.made',
      'deadletter.created',
      'webhook.disabled',
      'target.failed',
    ])
    for (const { description, kinds } of EVENT_TYPES) expect([description.endsWith('.'), kinds.length > 0]).toEqual([true, true])
  })

  test.each(EVENT_TYPES.map(({ type, example }) => [type, example] as const))(
    'has an example of %s that its schema takes',
    (type, example) => {
      expect(problems(type, example)).toEqual([])
    },
  )

  test.each(EVENT_TYPES.map((known) => [known.type, known] as const))('has a schema of %s that misses what is missing', (type, known) => {
    const required = known.schema.required as string[]
    expect(required.length).toBeGreaterThan(5)
    for (const name of required) {
      const { [name]: _missing, ...rest } = known.example
      expect(problems(type, rest), name).not.toEqual([])
    }
    expect(problems(type, { ...known.example, addedLater: 1 })).toEqual([])
  })

  test('has a type for every kind of decision, and one only', () => {
    const kinds = EVENT_TYPES.flatMap(({ type, kinds }) => kinds.map((kind) => `${kind} ${type}`))
    const ofTwins = EVENT_KINDS.flatMap((kind) =>
      kind === 'presence-changed' ? [`${kind} twin.online`, `${kind} twin.offline`] : [`${kind} ${eventTypeOf({ kind, event: '{}' })}`],
    )
    const others = PLATFORM.map(({ kind }) => `${kind} ${eventTypeOf({ kind, event: '{}' })}`)
    expect(kinds.toSorted()).toEqual([...ofTwins, ...others].toSorted())
    expect(eventTypeOf({ kind: 'of-a-later-version', event: '{}' })).toBe('twin.changed')
  })
})

describe('what twins decide', () => {
  const events = decidedEvents()

  test('is of all kinds here', () => {
    expect([...new Set(events.map(({ kind }) => kind))].toSorted()).toEqual(EVENT_KINDS.toSorted())
  })

  test('is what the schemas say', () => {
    for (const event of events) {
      const { type, data } = webhookEvent(rowOf(event))
      expect(problems(type, JSON.parse(data)), data).toEqual([])
    }
  })

  test('reads in a webhook as in the history and in the live stream', () => {
    for (const event of events) {
      const row = rowOf(event)
      const { tenant, device, ...data } = JSON.parse(webhookEvent(row).data)
      expect([tenant, device]).toEqual(['demo', 't-1'])
      expect(JSON.stringify(data)).toBe(eventJson({ ...row, time: AT }))
      const { type: _type, ...streamed } = JSON.parse(decidedEvent(row).json)
      expect(streamed).toEqual({ device, ...data })
    }
  })

  test('is of the type that its presence says', () => {
    const types = events.filter(({ kind }) => kind === 'presence-changed').map((event) => eventTypeOf(rowOf(event)))
    expect(types).toEqual(['twin.online', 'twin.offline'])
  })
})

test.each(PLATFORM.map((event) => [event.kind, event] as const))('an event of kind %s is what its schema says', (_kind, platform) => {
  const { kind, ...event } = platform
  const device = kind === 'webhook-disabled' || kind === 'target-failed' || kind.startsWith('rollout-') ? '' : 't-1'
  const stored = { event: JSON.stringify(event), cause: '{"by":"request"}' }
  const { type, data } = webhookEvent({ position: 1, at: AT, tenant: 'demo', device, revision: null, kind, ...stored })
  expect(problems(type, JSON.parse(data))).toEqual([])
  expect(JSON.parse(data).device).toBe(device === '' ? undefined : device)
  expect(JSON.parse(data)).not.toHaveProperty('revision')
})

describe('a body', () => {
  const row = rowOf({
    kind: 'presence-changed',
    at: AT - 60,
    before: 'offline',
    after: 'online',
    reason: 'message',
    cause: { by: 'message' },
  })
  const data =
    '{"tenant":"demo","device":"t-1","time":"2026-11-27T06:00:00.180Z","revision":3,"kind":"presence-changed","at":"2026-11-27T06:00:00.120Z",' +
    '"before":"offline","after":"online","reason":"message","cause":{"by":"message"}}'

  test('is that of Standard Webhooks, the same bytes each time', () => {
    const expected = {
      contentType: 'application/json',
      body: `{"type":"twin.online","timestamp":"2026-11-27T06:00:00.180Z","data":${data}}`,
    }
    expect(webhookBody(webhookEvent(row), 'standard')).toEqual(expected)
    expect(webhookBody(webhookEvent({ ...row }), 'standard')).toEqual(expected)
  })

  test('is a CloudEvent 1.0 in structured mode', () => {
    expect(webhookBody(webhookEvent(row), 'cloudevents')).toEqual({
      contentType: 'application/cloudevents+json',
      body:
        '{"specversion":"1.0","id":"evt_12","source":"/castor/demo","type":"twin.online","subject":"t-1",' +
        `"time":"2026-11-27T06:00:00.180Z","datacontenttype":"application/json","data":${data}}`,
    })
  })

  test('of no device has no subject', () => {
    const event = { ...rowOf({ kind: 'command-released', at: AT, id: 'a', name: 'b', cause: { by: 'timer' } }), device: '' }
    expect(JSON.parse(webhookBody(webhookEvent(event), 'cloudevents').body)).not.toHaveProperty('subject')
  })

  test.each(SUBSCRIPTIONS.slice(1))('can be an example of %s', (type) => {
    const event = exampleEvent(type, { id: 'evt_example_1', tenant: 'acme', at: AT })!
    const body = JSON.parse(webhookBody(event, 'standard').body)
    expect(body).toMatchObject({ type, timestamp: '2026-11-27T06:00:00.180Z', data: { tenant: 'acme' } })
    expect(problems(type, body.data)).toEqual([])
    expect(JSON.parse(webhookBody(event, 'cloudevents').body)).toMatchObject({ id: 'evt_example_1', type, data: body.data })
  })

  test('can be no example of a type that there is not', () => {
    expect(exampleEvent('*', { id: 'evt_1', tenant: 'acme', at: AT })).toBeUndefined()
  })
})

test('an endpoint has what it asks for, and everything with *', () => {
  expect(isSubscribed(['twin.online', 'command.ended'], 'command.ended')).toBe(true)
  expect(isSubscribed(['twin.online'], 'twin.offline')).toBe(false)
  expect(isSubscribed([], 'twin.online')).toBe(false)
  expect(isSubscribed(['*'], 'rollout.ended')).toBe(true)
})
