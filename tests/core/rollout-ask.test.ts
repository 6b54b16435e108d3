/** What one asks for with a rollout, and of one: what is taken, what it becomes, and where a refusal points. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { RolloutAction } from '../../twin-models/core/rollout-types.ts'
import { rolloutAskOf } from '../../twin-models/rollout-ask.ts'
import { rolloutRequest, rolloutSpecOf } from '../../twin-models/schemas/rollout.ts'
import { rolloutArguments } from '../../twin-models/schemas/rollout-arguments.ts'

const least = { name: 'Spring', firmware: { name: 'main', version: '2.1.0' }, filter: "attributes.site = 'north'" }

describe('a request', () => {
  test('needs a name, a firmware and whom it is for; the rest is sensible', () => {
    expect(rolloutSpecOf(rolloutRequest.parse(least))).toEqual({
      name: 'Spring',
      firmware: { name: 'main', version: '2.1.0' },
      target: { filter: "attributes.site = 'north'" },
      waves: [{ percent: 1 }, { percent: 5 }, { percent: 25 }, { percent: 100 }],
      rollbackWaves: [{ percent: 10 }, { percent: 100 }],
      gate: 0.95,
      failures: { share: 0.1, minimum: 10 },
      soakMs: 600_000,
      offerMs: 7 * 86_400_000,
      installMs: 3_600_000,
      silenceMs: 3_600_000,
      attempts: 3,
      retryMs: 60_000,
      pace: { perSecond: 50, atOnce: 10_000 },
      onHalt: 'continue',
      lateJoiners: 'ignore',
      approval: 'one',
    })
  })

  test('may say all of it', () => {
    const { filter: _, ...some } = least
    const all = {
      ...some,
      group: 'north',
      waves: [{ group: 'canary' }, { count: 10 }, { percent: 50 }],
      rollbackWaves: [{ count: 5 }],
      gate: 1,
      failures: { share: 0, count: 3, minimum: 1 },
      soak: '0s',
      offerFor: '2d',
      installTimeout: '20m',
      attempts: 1,
      retryAfter: '5s',
      window: { from: '22:00', to: '04:00', days: ['fri', 'sat'], timeZone: 'Europe/Berlin' },
      perSecond: 0.5,
      atOnce: 7,
      downloadBytesPerSecond: 1_000_000,
      onHalt: 'cancel',
      lateJoiners: 'join',
      approval: 'four-eyes',
    }
    expect(rolloutSpecOf(rolloutRequest.parse(all))).toEqual({
      name: 'Spring',
      firmware: least.firmware,
      target: { group: 'north' },
      waves: [{ group: 'canary' }, { count: 10 }, { percent: 50 }, { percent: 100 }],
      rollbackWaves: [{ count: 5 }, { percent: 100 }],
      gate: 1,
      failures: { share: 0, count: 3, minimum: 1 },
      soakMs: 0,
      offerMs: 2 * 86_400_000,
      installMs: 1_200_000,
      silenceMs: 1_200_000,
      attempts: 1,
      retryMs: 5_000,
      window: all.window,
      pace: { perSecond: 0.5, atOnce: 7 },
      downloadBytesPerSecond: 1_000_000,
      onHalt: 'cancel',
      lateJoiners: 'join',
      approval: 'four-eyes',
    })
    expect(rolloutSpecOf(rolloutRequest.parse({ ...all, silence: '3h' })).silenceMs).toBe(3 * 3_600_000)
  })

  test.each<[string, object, string, RegExp]>([
    ['without a name', { name: '' }, 'name', /1 to 100 characters/],
    ['with a name of two lines', { name: 'a\nb' }, 'name', /one line/],
    ['without whom it is for', { filter: undefined }, 'filter', /^one of filter and group is needed$/],
    ['for a filter and a group', { group: 'north' }, 'filter', /^exactly one of filter and group/],
    ['with a filter that is none', { filter: 'site ~ 1' }, 'filter', /not valid at character/],
    ['with a version that is none', { firmware: { name: 'main', version: ' 1' } }, 'firmware.version', /version/],
    ['with something that it does not know', { canary: true }, '', /canary/],
    ['with no wave', { waves: [] }, 'waves', /at least one/],
    ['with too many waves', { waves: Array.from({ length: 21 }, () => ({ count: 1 })) }, 'waves', /20|list of waves/],
    ['with a wave of two kinds', { waves: [{ percent: 5, count: 2 }] }, 'waves.0', /one of percent, count/],
    ['with an empty wave', { waves: [{}] }, 'waves.0', /one of percent, count/],
    ['with percents that do not rise', { waves: [{ percent: 5 }, { percent: 5 }] }, 'waves.1.percent', /above 5/],
    ['with percents that fall over a count', { waves: [{ percent: 5 }, { count: 1 }, { percent: 4 }] }, 'waves.2.percent', /above 5/],
    ['with more than all', { waves: [{ percent: 101 }] }, 'waves.0.percent', /up to 100/],
    ['with a percent of nought', { waves: [{ percent: 0 }] }, 'waves.0.percent', /above 0/],
    ['with a percent that is too fine', { waves: [{ percent: 0.00001 }] }, 'waves.0.percent', /4 decimals/],
    ['with a wave after all', { waves: [{ percent: 100 }, { count: 1 }] }, 'waves.1', /nobody would be left/],
    ['with a group after others', { waves: [{ count: 1 }, { group: 'canary' }] }, 'waves.1.group', /before the waves by count/],
    ['with a group twice', { waves: [{ group: 'a' }, { group: 'a' }] }, 'waves.1.group', /twice/],
    ['with a group on the way back', { rollbackWaves: [{ group: 'a' }] }, 'rollbackWaves.0', /group/],
    ['with a gate above all', { gate: 1.01 }, 'gate', /from 0 to 1/],
    ['with a gate that is too fine', { gate: 0.9999999 }, 'gate', /6 decimals/],
    ['with a share below nought', { failures: { share: -0.1 } }, 'failures.share', /from 0 to 1/],
    ['with a minimum of nought', { failures: { minimum: 0 } }, 'failures.minimum', /from 1/],
    ['with half a failure', { failures: { count: 0.5 } }, 'failures.count', /whole number/],
    ['with a soak of no unit', { soak: '10' }, 'soak', /30s.*may be 0s/],
    ['with an offer of no time', { offerFor: '0s' }, 'offerFor', /above 0s/],
    ['with an offer of more than a year', { offerFor: '367d' }, 'offerFor', /366d/],
    ['with no attempt', { attempts: 0 }, 'attempts', /from 1 to 10/],
    ['with an hour that is none', { window: { from: '24:00', to: '05:00' } }, 'window.from', /23:59/],
    ['with a window without an end', { window: { from: '02:00' } }, 'window.to', /./],
    ['with a window of no time', { window: { from: '02:00', to: '02:00' } }, 'window.to', /another time than from/],
    ['with a day twice', { window: { from: '02:00', to: '05:00', days: ['mon', 'mon'] } }, 'window.days', /once/],
    ['with a time zone that is none', { window: { from: '02:00', to: '05:00', timeZone: 'Mars/Base' } }, 'window.timeZone', /IANA/],
    ['that is too fast', { perSecond: 1_001 }, 'perSecond', /0\.01 to 1000/],
    ['that stands still', { perSecond: 0 }, 'perSecond', /0\.01 to 1000/],
    ['with nobody at once', { atOnce: 0 }, 'atOnce', /from 1 to 1000000/],
    ['with downloads that never end', { downloadBytesPerSecond: 1 }, 'downloadBytesPerSecond', /from 1024/],
    ['with an approval that is none', { approval: 'two' }, 'approval', /four-eyes/],
  ])('%s is refused there', (_title, changed, path, message) => {
    const { error } = rolloutRequest.safeParse({ ...least, ...changed })
    const issues = (error?.issues ?? []).map((issue) => ({ path: issue.path.join('.'), message: issue.message }))
    expect(issues).toContainEqual({ path, message: expect.stringMatching(message) })
  })
})

describe('an ask in the Temporal UI', () => {
  test.each<[RolloutAction, unknown, RegExp]>([
    ['pause', 'now', /argument of pause must be a JSON object/],
    ['pause', [], /must be a JSON object/],
    ['pause', null, /must be a JSON object/],
    ['pause', { now: true }, /pause takes no now: it takes nothing/],
    ['halt', { runing: 'cancel' }, /halt takes no runing: it takes running/],
    ['halt', { running: 'stop' }, /running must be "continue" or "cancel"/],
    ['rollback', { which: 'all' }, /which must be "updated" or "failed"/],
    ['pace', {}, /pace needs perSecond or atOnce: a number from 0.01 to 1000, a whole number/],
    ['pace', { atOnce: 1.5 }, /atOnce must be a whole number from 1 to 1000000/],
    ['exclude', undefined, /exclude needs device: the id of a device/],
    ['approve', { by: '' }, /by must be who approves/],
  ])('%s %j says what is wrong with it', (action, argument, problem) => {
    expect(rolloutAskOf(action, argument)).toEqual({ problem: expect.stringMatching(problem) })
  })

  test('needs no argument where there is nothing to say', () => {
    for (const action of ['pause', 'resume', 'advance', 'halt', 'rollback', 'cancel'] as const)
      expect(rolloutAskOf(action, undefined)).toEqual({ ask: { action } })
    expect(rolloutAskOf('rollback', { which: 'failed' })).toEqual({ ask: { action: 'rollback', which: 'failed' } })
  })

  test('is taken exactly when REST takes it', () => {
    const member = fc.constantFrom('by', 'running', 'which', 'perSecond', 'atOnce', 'device', 'other')
    const value = fc.oneof(
      fc.constantFrom(
        'continue',
        'cancel',
        'updated',
        'failed',
        't-1',
        '',
        'a b',
        'a\u0007',
        'x'.repeat(128),
        'x'.repeat(129),
        'x'.repeat(201),
      ),
      fc.constantFrom(0, 0.009, 0.01, 1, 1.5, 1_000, 1_000.1, 1e6, 1e6 + 1, -1, true, null, Number.NaN, Number.POSITIVE_INFINITY),
    )
    const argument = fc.oneof(
      { weight: 20, arbitrary: fc.dictionary(member, value, { maxKeys: 2, noNullPrototype: true }) },
      { weight: 1, arbitrary: fc.constantFrom(null, [], 'text', 1) },
    )
    const action = fc.constantFrom(...(Object.keys(rolloutArguments) as RolloutAction[]))
    const taken = new Set<string>()
    fc.assert(
      fc.property(action, argument, (action, argument) => {
        const asked = rolloutAskOf(action, argument)
        const parsed = rolloutArguments[action].safeParse(argument)
        expect(asked.problem === undefined, asked.problem).toBe(parsed.success)
        if (asked.problem !== undefined) return
        expect(asked.ask).toEqual({ action, ...parsed.data })
        taken.add(action)
      }),
      { numRuns: 5_000 },
    )
    expect(taken.size).toBe(9)
  })
})
