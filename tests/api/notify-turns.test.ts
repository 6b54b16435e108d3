/** Whose turn it is among targets: fair over tenants, and never more at once than there are places. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FairTurns, PLACES } from '../../api/notify/fair-turns.ts'
import type { ReadyTarget } from '../../api/notify/ports.ts'

const targets = (tenant: string, count: number, from: number, kind: ReadyTarget['kind'] = 'webhook'): ReadyTarget[] =>
  Array.from({ length: count }, (_, n) => ({ number: from + n, tenant, kind }))

test('tenants take turns, however many targets one has, and targets of a tenant do', () => {
  const turns = new FairTurns()
  const ready = [...targets('big', 50, 0), ...targets('small', 2, 100)]
  const order = Array.from({ length: 8 }, () => {
    const target = turns.next(ready)!
    turns.end(target)
    return target
  })
  expect(order.map(({ tenant }) => tenant)).toEqual(['big', 'small', 'big', 'small', 'big', 'small', 'big', 'small'])
  expect(order.filter(({ tenant }) => tenant === 'small').map(({ number }) => number)).toEqual([100, 101, 100, 101])
  expect(new Set(order.filter(({ tenant }) => tenant === 'big').map(({ number }) => number)).size).toBe(4)
})

test('one tenant has a share of the places, mail has few, and a target has one message at a time', () => {
  const turns = new FairTurns()
  const ready = [...targets('a', 20, 0), ...targets('a', 3, 50, 'email'), ...targets('b', 3, 60, 'email')]
  const begun: ReadyTarget[] = []
  for (let target = turns.next(ready); target; target = turns.next(ready)) begun.push(target)
  const count = (tenant: string, kind: string) => begun.filter((target) => target.tenant === tenant && target.kind === kind).length
  expect([count('a', 'webhook'), count('a', 'email'), count('b', 'email')]).toEqual([PLACES.webhook.tenant, 1, 1])
  expect(new Set(begun.map(({ number }) => number)).size).toBe(begun.length)
})

test('whatever is ready, no tenant that has a place waits for more turns than there are tenants, and places are never exceeded', () => {
  const target = fc.record({ number: fc.nat(30), kind: fc.constantFrom('webhook' as const, 'email' as const) })
  fc.assert(
    fc.property(fc.array(target, { maxLength: 60 }), fc.array(fc.boolean(), { maxLength: 200 }), (given, ends) => {
      const ready = [...new Map(given.map(({ number, kind }) => [number, { number, kind, tenant: `t${number % 4}` }])).values()]
      const tenants = new Set(ready.map(({ tenant }) => tenant))
      const turns = new FairTurns()
      const begun: ReadyTarget[] = []
      const waited = new Map<string, number>()
      for (const isEnd of ends) {
        const next = isEnd && begun.length > 0 ? undefined : turns.next(ready)
        if (!next) {
          const ended = begun.shift()
          if (ended) turns.end(ended)
          continue
        }
        begun.push(next)
        for (const tenant of tenants) waited.set(tenant, tenant === next.tenant ? 0 : (waited.get(tenant) ?? 0) + 1)
        for (const kind of ['webhook', 'email'] as const) {
          const same = begun.filter((one) => one.kind === kind)
          expect(same.length).toBeLessThanOrEqual(PLACES[kind].all)
          for (const of of Map.groupBy(same, ({ tenant }) => tenant).values()) expect(of.length).toBeLessThanOrEqual(PLACES[kind].tenant)
        }
        // One that has all its places waits for them; whoever has a place free waits for the other tenants only.
        const free = ready.filter(
          ({ tenant, kind, number }) =>
            !begun.some((one) => one.number === number) &&
            begun.filter((one) => one.kind === kind).length < PLACES[kind].all &&
            begun.filter((one) => one.kind === kind && one.tenant === tenant).length < PLACES[kind].tenant,
        )
        for (const tenant of tenants) if (!free.some((one) => one.tenant === tenant)) waited.set(tenant, 0)
        for (const count of waited.values()) expect(count).toBeLessThanOrEqual(4)
      }
    }),
    { numRuns: 300 },
  )
})
