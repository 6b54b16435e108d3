/** The words of a twin in the Temporal UI. */
import { describe, expect, test } from 'vitest'
import { initialState } from '../../twin-models/core/initial.ts'
import { reportOf } from '../../twin-models/core/report.ts'
import type { OpenAlarm, OpenUpdate, TwinState } from '../../twin-models/core/types.ts'
import { updateRequest } from '../support/asked-twin.ts'

const KEY = { tenant: 'demo', device: 'pump-7', incarnation: 22 }
const AT = Date.UTC(2026, 10, 21, 7, 26, 3, 71)

function pump(changes: Partial<TwinState> = {}): TwinState {
  const initial = initialState()
  return {
    ...initial,
    revision: 4,
    seq: 4,
    messages: 4,
    settings: {
      ...initial.settings,
      model: 'pump',
      modelVersion: '1.0.0',
      ranges: { vibration: { maximum: 2.8 }, depth: { minimum: 1, maximum: 9 } },
    },
    presence: { status: 'online', since: AT, reason: 'message', lastSeenAt: AT },
    values: { vibration: [3.1, AT], running: [true, AT] },
    ...changes,
  }
}

describe('the report of a twin', () => {
  test('has its open alarms first, the worst of them before the others, and whether it is in maintenance', () => {
    const alarm = (rule: string, n: number, more: Partial<OpenAlarm> = {}): OpenAlarm => ({
      ...{ n, rule, version: 1, severity: 'major', text: `${rule} \`it\` is`, since: AT, raisedAt: AT + n, count: 1, values: {} },
      ...more,
    })
    const alarms = {
      wet: alarm('wet', 1),
      dry: alarm('dry', 2, { severity: 'warning', count: 3, flapping: true, muted: true, shelvedUntil: AT + 60_000 }),
      hot: alarm('hot', 3, { severity: 'critical', acknowledged: { at: AT, by: 'ann', note: 'On my way' }, assignee: 'bob' }),
      cold: alarm('cold', 4, { acknowledged: { at: AT, by: 'ann' }, text: 'x'.repeat(201) }),
    }
    const others = [{ until: AT + 30_000, by: 't-1', ticket: true as const }]
    const maintenance = { since: AT, until: AT + 60_000, by: 'ann', reason: 'A new bearing', others }
    const report = reportOf(KEY, pump({ alarms, maintenance }))
    expect(report.split('\n\n').slice(2, 6).join('\n\n')).toBe(`**Alarms**

- **critical**, number 3 by \`hot\`: \`hot  it  is\`; since 2026-11-21 07:26:03 UTC, acknowledged by \`ann\` at 2026-11-21 07:26:03 UTC: \`On my way\`, assigned to \`bob\`
- **major**, number 1 by \`wet\`: \`wet  it  is\`; since 2026-11-21 07:26:03 UTC, not acknowledged
- **major**, number 4 by \`cold\`: \`${'x'.repeat(200)}…\`; since 2026-11-21 07:26:03 UTC, acknowledged by \`ann\` at 2026-11-21 07:26:03 UTC
- **warning**, number 2 by \`dry\`: \`dry  it  is\`; since 2026-11-21 07:26:03 UTC, came 3 times, flapping, not acknowledged, shelved until 2026-11-21 07:27:03 UTC, muted

**In maintenance**

- Since 2026-11-21 07:26:03 UTC until 2026-11-21 07:27:03 UTC, by \`ann\`: \`A new bearing\`
- Also until 2026-11-21 07:26:33 UTC, by ticket \`t-1\`
- Its alarms are muted, and a firmware update that was not let go waits`)
    const many = Object.fromEntries(Array.from({ length: 22 }, (_, i) => [`r${i}`, alarm(`r${i}`, i + 1)]))
    expect(
      reportOf(KEY, pump({ alarms: many }))
        .split('\n\n')[3]!
        .split('\n')
        .slice(-2),
    ).toEqual([expect.stringContaining('by `r19`'), '- and 2 more'])
  })

  test('says that nothing is decided before the first decision', () => {
    expect(reportOf(KEY, initialState())).toBe('Twin of device `pump-7` of tenant `demo`: nothing decided yet.')
  })

  test('begins with presence, then what is outside its range, then the rest', () => {
    const report = reportOf(
      KEY,
      pump({
        ranges: {
          vibration: { status: 'high', since: AT, value: 3.1, newest: AT },
          depth: { status: 'normal', since: AT, value: 4, newest: AT },
        },
        recentEvents: [{ name: 'leak', ts: AT }],
        firmware: { version: '2.0.1', sha256: '9f86d081884c7d659a2feaa0c55ad015' },
        health: { ok: false, battery: 81, errors: ['stuck'] },
      }),
    )
    expect(report).toBe(`### \`pump-7\` is online since 2026-11-21 07:26:03 UTC (message)

A \`pump\`, version 1.0.0 of the model, of tenant \`demo\`. Registration 22.

**Outside its normal range**

- **\`vibration\` is high** since 2026-11-21 07:26:03 UTC: \`3.1\`, normal is up to 2.8

**Facts**

- Last message decided on: 2026-11-21 07:26:03 UTC; REST may know later ones
- Firmware: \`2.0.1\`, SHA-256 \`9f86d081884c…\`
- Health: **not ok**, battery 81 %, errors: \`stuck\`
- Revision 4, newest seal 4, 4 messages in all

**Latest values that it was told**

- \`vibration\`: \`3.1\` at 2026-11-21 07:26:03 UTC; normal is up to 2.8
- \`running\`: \`true\` at 2026-11-21 07:26:03 UTC

**Recent device events, the newest first**

- \`leak\` at 2026-11-21 07:26:03 UTC`)
  })

  test('says what is wished and how far it has come, what needs attention first, and which commands have not ended', () => {
    const made = { version: 3, at: AT, by: 'ann', since: AT }
    const report = reportOf(
      KEY,
      pump({
        reported: { state: { speed: 1, limits: { high: 9 } }, at: { '/speed': AT, '/limits/high': AT } },
        desired: {
          version: 3,
          answered: 2,
          state: { speed: 2, limits: { high: 9, low: 1 } },
          leaves: {
            '/limits/high': { ...made, status: 'converged' },
            '/speed': { ...made, status: 'pending', deadlineAt: AT + 60_000 },
            '/limits/low': { ...made, status: 'diverged', reason: 'refused', code: 'range', message: 'too `low`' },
            '/mode': { ...made, status: 'diverged', reason: 'device' },
          },
        },
        commands: [
          { id: 'c-1', name: 'flush', expiresAt: AT + 5_000, repeatable: true, by: 'ann', released: true },
          { id: 'c-2', name: 'flush', expiresAt: AT + 9_000, repeatable: true, by: 'bob', released: false },
        ],
      }),
    )
    expect(report).toContain(`**Wishes, version 3, answered up to 2**

- \`/limits/low\`: \`1\` wished, nothing reported; **diverged** (refused, \`range\`, \`too  low \`) since 2026-11-21 07:26:03 UTC, by \`ann\`
- \`/mode\`: wished no longer, nothing reported; **diverged** (device) since 2026-11-21 07:26:03 UTC, by \`ann\`
- \`/speed\`: \`2\` wished, \`1\` reported; pending since 2026-11-21 07:26:03 UTC, by \`ann\`, until 2026-11-21 07:27:03 UTC
- \`/limits/high\`: \`9\` wished; converged since 2026-11-21 07:26:03 UTC, by \`ann\`

**Commands that have not ended**

- \`flush\` \`c-1\`: may be sent, until 2026-11-21 07:26:08 UTC, by \`ann\`
- \`flush\` \`c-2\`: waits for one before it, until 2026-11-21 07:26:12 UTC, by \`bob\`

**Facts**`)
  })

  test('tells of its firmware update, where it stands, and of those that ended', () => {
    const open = {
      requestedAt: AT,
      from: { version: '1.9' },
      attempt: 2,
      phase: 'waiting',
      deadlineAt: AT + 60_000,
      code: 'no-space',
    } as const
    const update: OpenUpdate = { ...updateRequest('u-1', { rollout: 'r-1' }), ...open, message: 'full `disk`' }
    const endedUpdates: TwinState['endedUpdates'] = [
      { id: 'u-0', status: 'rolled-back', version: '2', at: AT, code: 'returned' },
      { id: 'u-9', status: 'healthy', version: '1.9', at: AT },
    ]
    const report = reportOf(KEY, pump({ update, endedUpdates }))
    expect(report).toContain(`**Firmware update**

- Update from \`1.9\` to \`2\`, of rollout \`r-1\`: \`u-1\`
- Attempt 2 of 3: waits until 2026-11-21 07:27:03 UTC
- Why: \`no-space\`, \`full  disk \`

**Facts**`)
    expect(report).toContain(`**Firmware updates that ended last, the newest first**

- \`2\`: **rolled-back** (\`returned\`) at 2026-11-21 07:26:03 UTC, \`u-0\`
- \`1.9\`: healthy at 2026-11-21 07:26:03 UTC, \`u-9\`

**Latest`)
    const { code: _code, message: _message, ...fresh } = update
    const soaks: OpenUpdate = { ...fresh, kind: 'rollback', from: null, phase: 'soaking', bootedAt: AT }
    expect(reportOf(KEY, pump({ update: soaks }))).toContain(`- Back to \`2\`, of rollout \`r-1\`: \`u-1\`
- Attempt 2 of 3: runs since 2026-11-21 07:26:03 UTC, and is to stay healthy; looked at again at 2026-11-21 07:27:03 UTC

**Facts**`)
  })

  test('of one that was let go says what is true of it wherever its device is, and where that stands', () => {
    const open = { requestedAt: AT, from: { version: '1.9' }, attempt: 1, phase: 'released', deadlineAt: AT + 60_000 } as const
    const update: OpenUpdate = { ...updateRequest('u-1'), ...open, until: AT + 3_600_000 }
    const first =
      '- Attempt 1 of 3: let go: its device has been told, or will be when it is there, until 2026-11-21 08:26:03 UTC; looked at again at 2026-11-21 07:27:03 UTC'
    const last = '- How far its device is with it stands in REST: `GET /v1/updates/u-1`'
    expect(reportOf(KEY, pump({ update }))).toContain(`${first}\n${last}`)
    const said: OpenUpdate = { ...update, said: 'rebooting', saidAt: AT }
    expect(reportOf(KEY, pump({ update: said }))).toContain(
      `${first}\n- Its device said at 2026-11-21 07:26:03 UTC that it reboots\n${last}`,
    )
    expect(reportOf(KEY, pump({ update: { ...said, returnsBy: AT + 60_000 } }))).toContain('still runs that at 2026-11-21 07:27:03 UTC')
  })

  test('is bounded, whatever is asked of a device', () => {
    const name = (n: number) => `${n}${'`*|x'.repeat(500)}`
    const leaf = {
      version: 1,
      at: AT,
      by: name(1),
      since: AT,
      status: 'diverged',
      reason: 'refused',
      code: name(2),
      message: name(3),
    } as const
    const many = Array.from({ length: 200 }, (_, n) => n)
    const desired = { version: 1, answered: 1, state: Object.fromEntries(many.map((n) => [name(n), name(n)])) }
    const leaves = Object.fromEntries(many.map((n) => [`/${name(n)}`, leaf]))
    const commands = many
      .slice(100)
      .map((n) => ({ id: `c-${n}`, name: name(n), expiresAt: AT, repeatable: true, by: name(n), released: true }))
    const report = reportOf(KEY, pump({ desired: { ...desired, leaves }, commands }))
    expect(report.length).toBeLessThan(20_000)
    expect(report).toContain('- and 170 more')
    expect(report).toContain('- and 80 more')
  })

  test('is bounded, whatever a device sends, and nothing of it becomes markup', () => {
    const values = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`v${i}`, ['x`*y*|'.repeat(500), AT]]))
    const report = reportOf(KEY, pump({ values: values as TwinState['values'] }))
    expect(report.length).toBeLessThan(5_000)
    expect(report).toContain('- and 170 more')
    for (const line of report.split('\n').filter((text) => text.startsWith('- `v'))) expect(line.match(/`/g)).toHaveLength(4)
  })
})
