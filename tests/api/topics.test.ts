import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { filterCovers, maySubscribe, parseUserName, topicPrefix, uplinkOf } from '../../api/mqtt/topics.ts'
import { ID_PATTERN, isId, isTenant, NAME_PATTERN, TENANT_PATTERN } from '../../twin-models/ids.ts'

const prefix = topicPrefix('demo', 'd-1')
const tenant = fc.stringMatching(TENANT_PATTERN, { size: '-1' }).filter(isTenant)
const id = fc.stringMatching(ID_PATTERN, { size: '-1' })
/** Topics that look much like ours, and any others. */
const anyTopic = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(
      fc.constantFrom(
        'castor',
        'v1',
        'demo',
        'd-1',
        'd-2',
        'telemetry',
        'senml',
        'events',
        'presence',
        'reported',
        'commands',
        'response',
        'updates',
        'status',
        '',
        '+',
        '#',
        'x',
        '%2f',
        '\0',
        '..',
      ),
    )
    .map((levels) => levels.join('/')),
)

describe('the topic grammar', () => {
  test('knows what devices send', () => {
    expect(uplinkOf(`${prefix}telemetry`, prefix)).toEqual({ kind: 'telemetry' })
    expect(uplinkOf(`${prefix}telemetry/senml`, prefix)).toEqual({ kind: 'telemetry', contentType: 'application/senml+json' })
    expect(uplinkOf(`${prefix}events/door.open`, prefix)).toEqual({ kind: 'event', name: 'door.open' })
    expect(uplinkOf(`${prefix}presence`, prefix)).toEqual({ kind: 'presence' })
    expect(uplinkOf(`${prefix}reported`, prefix)).toEqual({ kind: 'reported' })
    expect(uplinkOf(`${prefix}get`, prefix)).toEqual({ kind: 'get' })
    expect(uplinkOf(`${prefix}commands/0f-1/response`, prefix)).toEqual({ kind: 'response', name: '0f-1' })
    expect(uplinkOf(`${prefix}updates/0f-1/status`, prefix)).toEqual({ kind: 'update', name: '0f-1' })
    for (const other of [
      'commands/',
      'commands/x',
      'commands//response',
      'commands/response',
      'commands/a/b/response',
      'commands/x/request',
      'commands/x/status',
      'updates/',
      'updates/x',
      'updates//status',
      'updates/status',
      'updates/a/b/status',
      'updates/x/response',
      'updates/x/job',
      'get/',
    ])
      expect(uplinkOf(prefix + other, prefix)).toEqual({ kind: 'unknown', name: other })
    expect(uplinkOf(`${prefix}events/`, prefix)).toEqual({ kind: 'unknown', name: 'events/' })
    expect(uplinkOf(prefix, prefix)).toEqual({ kind: 'unknown', name: '' })
  })

  test('gives a device its own topics and no others, whatever they look like', () => {
    fc.assert(
      fc.property(anyTopic, (topic) => {
        const uplink = uplinkOf(topic, prefix)
        if (!topic.startsWith(prefix) || /[\0\ufffd]/.test(topic)) expect(uplink).toBeUndefined()
        else expect(uplink).toBeDefined()
        if (uplink?.kind === 'event') expect(uplink.name).toMatch(NAME_PATTERN)
        if (uplink?.kind === 'response' || uplink?.kind === 'update') expect(uplink.name).toMatch(ID_PATTERN)
        if (uplink?.kind === 'unknown') expect([uplink.name!.length <= 256, uplink.name!.isWellFormed()]).toEqual([true, true])
      }),
      { numRuns: 2000 },
    )
  })

  test('gives no device what is under another one', () => {
    fc.assert(
      fc.property(tenant, id, tenant, id, fc.string(), (t1, d1, t2, d2, rest) => {
        const [one, two] = [topicPrefix(t1, d1), topicPrefix(t2, d2)]
        fc.pre(one !== two)
        expect(uplinkOf(two + rest, one)).toBeUndefined()
        expect(maySubscribe(two + rest, one)).toBe(false)
      }),
    )
  })

  test('reads user names, and only valid ones', () => {
    fc.assert(
      fc.property(tenant, id, (t, d) => {
        expect(parseUserName(`${t}/${d}`)).toEqual({ tenant: t, device: d })
      }),
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.string().map((text) => `demo/${text}`),
        ),
        (text) => {
          const name = parseUserName(text)
          if (name) expect([isTenant(name.tenant), isId(name.device), `${name.tenant}/${name.device}`]).toEqual([true, true, text])
        },
      ),
      { numRuns: 1000 },
    )
  })
})

describe('filters', () => {
  test.each([
    ['a/b', 'a/b', true],
    ['a/+', 'a/b', true],
    ['a/+', 'a/b/c', false],
    ['a/+', 'a', false],
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['#', 'a/b', true],
    ['+/b', 'a/b', true],
    ['a/+/c', 'a//c', true],
    ['a/b', 'a/c', false],
    ['a/b/', 'a/b', false],
    ['a', 'a/b', false],
  ])('%s covers %s: %s', (filter, topic, covers) => {
    expect(filterCovers(filter, topic)).toBe(covers)
  })

  test('with # cover all below', () => {
    const levels = fc.array(
      fc.string().filter((text) => !/[/+#]/.test(text)),
      { minLength: 1, maxLength: 5 },
    )
    fc.assert(
      fc.property(levels, fc.nat(5), (parts, depth) => {
        const topic = parts.join('/')
        expect(filterCovers([...parts.slice(0, depth), '#'].join('/'), topic)).toBe(true)
        expect(filterCovers(parts.map(() => '+').join('/'), topic)).toBe(true)
      }),
    )
  })
})
