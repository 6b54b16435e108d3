/** Repairs of one device that overlap: tickets', and people's. Each ends by itself, and the device is in maintenance until the last of them has. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decidedPart } from '../../twin-models/core/decided.ts'
import type { MaintenanceAsk, TwinEvent } from '../../twin-models/core/types.ts'
import { wakeOf } from '../../twin-models/core/wake.ts'
import { hotRule } from '../support/alarms.ts'
import { AskedTwin } from '../support/asked-twin.ts'

const MINUTE = 60_000

/** With an alarm; the next input is of 10000. */
function hot(): AskedTwin {
  const twin = new AskedTwin()
  twin.give({ kind: 'rules', at: twin.now, set: [hotRule()], removed: [] })
  twin.give({ kind: 'reading', at: twin.now, name: 'temperature', value: 50, ts: twin.now })
  twin.now = 10_000
  return twin
}

const ask = (twin: AskedTwin, asked: MaintenanceAsk) => twin.give({ kind: 'maintenance', at: twin.now, request: 'm', ...asked }).events
const ticket = (twin: AskedTwin, by: string, until: number | null) => ask(twin, { by, until, ticket: true })
const person = (twin: AskedTwin, by: string, until: number | null) => ask(twin, { by, until })
const tick = (twin: AskedTwin, at: number): TwinEvent[] => {
  twin.now = at
  return twin.give({ kind: 'tick', at }).events
}
/** What it says of its maintenance, and whether its alarm is muted. */
const shown = ({ state }: AskedTwin) => {
  const { maintenance, alarms } = state
  const repairs = maintenance ? [maintenance, ...(maintenance.others ?? [])].map(({ by, until }) => `${by} until ${until / MINUTE}`) : []
  return [...repairs, alarms.hot?.muted ? 'muted' : 'heard']
}

describe('a repair', () => {
  test('of a ticket and one of a person each end by themselves, whichever comes first', () => {
    for (const [first, second] of [
      [ticket, person],
      [person, ticket],
    ] as const) {
      const twin = hot()
      first(twin, 'one', 10 * MINUTE)
      second(twin, 'two', 20 * MINUTE)
      expect(shown(twin)).toEqual(['two until 20', 'one until 10', 'muted'])
      expect(twin.state.maintenance!.since).toBe(10_000)
      second(twin, 'two', null)
      expect(shown(twin)).toEqual(['one until 10', 'muted'])
      expect(twin.state.maintenance!.since).toBe(10_000)
      expect(first(twin, 'one', null).map(({ kind }) => kind)).toEqual(['maintenance-changed', 'alarm-updated'])
      expect(shown(twin)).toEqual(['heard'])
    }
  })

  test('that ends before another one changes nothing but that, and the last one ends by its time', () => {
    const twin = hot()
    ticket(twin, 't-1', 10 * MINUTE)
    ticket(twin, 't-2', 20 * MINUTE)
    expect(ticket(twin, 't-1', null)).toMatchObject([{ kind: 'maintenance-changed', maintenance: { by: 't-2', until: 20 * MINUTE } }])
    ticket(twin, 't-1', 15 * MINUTE)
    expect(wakeOf(twin.state).dueAt).toBe(20 * MINUTE)
    expect(tick(twin, 16 * MINUTE)).toEqual([])
    // What is over by its time is not shown beside what is asked next.
    ticket(twin, 't-3', 18 * MINUTE)
    expect(shown(twin)).toEqual(['t-2 until 20', 't-3 until 18', 'muted'])
    expect(tick(twin, 20 * MINUTE)).toMatchObject([{ kind: 'maintenance-changed', maintenance: null, at: 20 * MINUTE }, { muted: false }])
    expect(shown(twin)).toEqual(['heard'])
  })

  test('of people is one, whoever of them changes and ends it', () => {
    const twin = hot()
    ask(twin, { by: 'ann', until: 10 * MINUTE, reason: 'A bearing' })
    person(twin, 'bob', 20 * MINUTE)
    expect(shown(twin)).toEqual(['bob until 20', 'muted'])
    expect(twin.state.maintenance).not.toHaveProperty('reason')
    person(twin, 'eve', null)
    expect(shown(twin)).toEqual(['heard'])
  })

  test('that is so already, or not there, changes nothing', () => {
    const twin = hot()
    expect(ticket(twin, 't-1', null)).toEqual([])
    ticket(twin, 't-1', 10 * MINUTE)
    person(twin, 'ann', 20 * MINUTE)
    expect(ticket(twin, 't-1', 10 * MINUTE)).toEqual([])
    expect(ticket(twin, 't-2', null)).toEqual([])
    expect(ticket(twin, 't-2', twin.now)).toEqual([])
    expect(person(twin, 'ann', 20 * MINUTE)).toEqual([])
  })

  test('of a ticket that an older version began ends with that ticket', () => {
    const twin = hot()
    person(twin, 't-1', 10 * MINUTE)
    ticket(twin, 't-1', 20 * MINUTE)
    expect(shown(twin)).toEqual(['t-1 until 20', 'muted'])
    person(twin, 't-1', null)
    expect(shown(twin)).toEqual(['heard'])
  })

  test('stands in the document with the others, each with its end', () => {
    const twin = hot()
    ask(twin, { by: 'ann', until: 10 * MINUTE, reason: 'A bearing' })
    ticket(twin, 't-1', 20 * MINUTE)
    expect(decidedPart(twin.state).maintenance).toEqual({
      ...{ since: '1970-01-01T00:00:10.000Z', until: '1970-01-01T00:20:00.000Z', by: 't-1', ticket: true },
      others: [{ until: '1970-01-01T00:10:00.000Z', by: 'ann', reason: 'A bearing' }],
    })
  })

  test('beyond the bound is not known, beginning with those that end first', () => {
    const twin = hot()
    for (let n = 1; n <= 30; n++) ticket(twin, `t-${n}`, n * MINUTE)
    expect(shown(twin).slice(0, -1)).toEqual(Array.from({ length: 21 }, (_, i) => `t-${30 - i} until ${30 - i}`))
  })
})

const asked = fc.record({
  by: fc.constantFrom('ann', 'bob', 't-1', 't-2', 't-3'),
  forMs: fc.option(fc.integer({ min: -5, max: 100 }), { freq: 3 }),
  afterMs: fc.integer({ min: 1, max: 40 }),
  isTicking: fc.boolean(),
})

test('whatever is asked, a device is in maintenance, and its alarm muted, exactly while one of its repairs lasts', () => {
  fc.assert(
    fc.property(fc.array(asked, { minLength: 1, maxLength: 40 }), (asks) => {
      const twin = hot()
      const repairs = new Map<string, number>()
      let since: number | undefined
      for (const { by, forMs, afterMs, isTicking } of asks) {
        twin.now += afterMs
        const at = twin.now
        if (isTicking) tick(twin, at)
        const until = forMs === null ? null : at + forMs
        const isTicket = by.startsWith('t-')
        // The lane tells the time in front of a request.
        twin.give({ kind: 'tick', at }, { kind: 'maintenance', at, request: 'm', by, until, ...(isTicket && { ticket: true }) })
        for (const [of, end] of repairs) if (end <= at) repairs.delete(of)
        if (repairs.size === 0) since = undefined
        const of = isTicket ? by : 'people'
        if (until === null || until <= at) repairs.delete(of)
        else repairs.set(of, until)
        if (repairs.size === 0) since = undefined
        else since ??= at
        const { maintenance } = twin.state
        expect(maintenance?.until).toBe(repairs.size === 0 ? undefined : Math.max(...repairs.values()))
        expect(maintenance?.since).toBe(since)
        expect(twin.state.alarms.hot!.muted ?? false).toBe(repairs.size > 0)
        const known = maintenance ? [maintenance, ...(maintenance.others ?? [])] : []
        const lasting = known.filter((repair) => repair.until > at).map((repair) => [repair.ticket ? repair.by : 'people', repair.until])
        expect(new Map(lasting as Array<[string, number]>)).toEqual(repairs)
      }
    }),
    { numRuns: 1_000 },
  )
})
