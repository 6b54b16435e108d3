/** `twin.changed`: decisions of a twin that have no type of their own, told apart by `kind`. */
import type { JsonObject } from '../core/types.ts'
import {
  about,
  anyObject,
  anything,
  dataSchema,
  type EventType,
  type Fields,
  flag,
  listOf,
  mapOf,
  OF_TWIN,
  object,
  oneOf,
  orNull,
  text,
  texts,
  time,
  whole,
  word,
} from './schema.ts'

const range = oneOf('normal', 'low', 'high')
const firmware = object({ version: text, 'sha256?': text })
const health = object({ ok: flag, 'battery?': { type: 'number' }, 'rssi?': { type: 'number' }, 'errors?': texts })
const changes: JsonObject = {
  ...listOf(object({ path: text, 'before?': anything, 'after?': anything })),
  description: 'By JSON pointer. Without `before` it was not there; without `after` it is gone.',
}
const deadlines = about(mapOf(time), 'By JSON pointer: when the wish counts as diverged.')

const UPDATE: Fields = { id: about(text, 'Of the update.') }
const ALARM: Fields = { n: about(whole, 'Which alarm of the device.'), rule: about(text, 'Name of its rule.') }
const REPAIR: Fields = {
  until: time,
  by: about(text, 'Who, or the id of the ticket.'),
  'ticket?': about(flag, 'It is a ticket’s.'),
  'reason?': text,
}
const LOOKS_AGAIN = about(time, 'When the twin looks at it next.')

/** What each kind has beside what all have. */
const KINDS = {
  configured: { settings: about(anyObject, 'Of its model: `model`, `modelVersion`, `presenceTimeoutMs`, `ranges`.') },
  'range-changed': { ts: time, name: about(text, 'The property.'), before: range, after: range, value: { type: 'number' } },
  'firmware-changed': { before: orNull(firmware), after: firmware },
  'health-changed': { before: orNull(health), after: health },
  'desired-changed': { version: whole, changes, by: text, 'deadlineAt?': deadlines, 'retryMs?': whole },
  'desired-acknowledged': { version: whole, paths: about(texts, 'What of it the device has not done (yet).') },
  'reported-changed': { ts: time, changes },
  'command-requested': {
    command: object({
      id: text,
      name: text,
      expiresAt: time,
      repeatable: flag,
      'concurrency?': whole,
      'onlyLast?': flag,
      by: text,
    }),
  },
  'command-released': { id: text, name: text },
  'command-late': { id: text, status: oneOf('succeeded', 'failed'), 'code?': text, 'message?': text, 'output?': anything },
  'update-requested': {
    update: about(
      object({ ...UPDATE, 'rollout?': text, firmware: object({ version: text, sha256: text }), offerUntil: time, by: text }),
      'As it was asked for.',
    ),
    from: about(orNull(firmware), 'What runs.'),
    deadlineAt: LOOKS_AGAIN,
  },
  'update-released': { ...UPDATE, attempt: whole, until: about(time, 'The device may be told until then.'), deadlineAt: LOOKS_AGAIN },
  'update-postponed': { ...UPDATE, attempt: about(whole, 'The next one.'), deadlineAt: LOOKS_AGAIN, code: text, 'message?': text },
  'update-awaited': {
    ...UPDATE,
    deadlineAt: LOOKS_AGAIN,
    'returnsBy?': about(time, 'The device came with what it had before: until then it may still come with the new firmware.'),
  },
  'update-soaking': { ...UPDATE, deadlineAt: LOOKS_AGAIN, giveUpAt: about(time, 'Not healthy by then, it never will be.') },
  'rules-changed': {
    set: about(listOf(object({ id: text, version: whole })), 'Rules that are for the device, in these versions.'),
    removed: about(texts, 'Rules that are no longer for it.'),
  },
  'alarm-updated': {
    ...ALARM,
    'version?': about(whole, 'Of the rule.'),
    'severity?': text,
    'text?': text,
    'count?': whole,
    'flapping?': about(flag, 'It came and went so often that it stays for a while now.'),
    'muted?': about(flag, 'True: its device is in maintenance now, and nobody is to be told. False: that is over, and it is still there.'),
    'values?': anyObject,
  },
  'alarm-shelved': { ...ALARM, until: about(orNull(time), 'Null: no longer.'), 'by?': text, 'note?': text },
  'alarm-assigned': { ...ALARM, assignee: orNull(text), by: text, 'note?': text },
  'alarm-commented': { ...ALARM, by: text, note: text },
  'maintenance-changed': {
    maintenance: about(
      orNull(object({ since: time, ...REPAIR, 'others?': about(listOf(object(REPAIR)), 'Repairs that go on meanwhile and end sooner.') })),
      'The repair that lasts longest. Null: all are over.',
    ),
  },
} satisfies { [kind: string]: Fields }

const description =
  'A twin decided something else: a range, firmware, health, its model or rules, its desired or reported state, a command or a firmware update on its way, something of an alarm. Never a mere reading.'

export const twinChanged: EventType & { type: 'twin.changed'; kinds: Array<keyof typeof KINDS> } = {
  type: 'twin.changed',
  description,
  kinds: Object.keys(KINDS) as Array<keyof typeof KINDS>,
  schema: dataSchema('twin.changed', description, word(...Object.keys(KINDS)), OF_TWIN, {
    allOf: Object.entries(KINDS).map(([kind, fields]) => ({
      if: { properties: { kind: { const: kind } } },
      // biome-ignore lint/suspicious/noThenProperty: a word of JSON Schema, not a promise
      then: object(fields),
    })),
  }),
  example: {
    tenant: 'demo',
    device: 't-1',
    time: '2026-11-26T21:31:17.073Z',
    revision: 7,
    kind: 'range-changed',
    at: '2026-11-26T21:31:17.072Z',
    ts: '2026-11-26T21:31:17.072Z',
    name: 'temperature',
    before: 'normal',
    after: 'high',
    value: 41.5,
    cause: { by: 'message', messageId: 'm-18' },
  },
}
