/** Maintenance windows in a device's own time zone, through changes of the clocks. */
import fc from 'fast-check'
import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { type MaintenanceWindow, WEEKDAYS, type Weekday } from '../../twin-models/core/rollout-types.ts'
import { MOST_WINDOWS, type Window, windowsByZone, zoneFor } from '../../twin-models/windows.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const berlin = 'Europe/Berlin'

function windows(window: MaintenanceWindow, zone: string | undefined, from: string, days: number): string[] {
  const now = Date.parse(from)
  const iso = (at: number) => new Date(at).toISOString().slice(0, 16)
  return windowsByZone(window, now, now + days * DAY_MS)(zone).map(([from, until]) => `${iso(from)} ${iso(until)}`)
}

describe('windows', () => {
  const night = { from: '02:00', to: '05:00' }
  test.each<[string, MaintenanceWindow, string | undefined, string, number, string[]]>([
    [
      'are those of the nights to come',
      night,
      berlin,
      '2026-06-10T12:00Z',
      2,
      ['2026-06-11T00:00 2026-06-11T03:00', '2026-06-12T00:00 2026-06-12T03:00'],
    ],
    [
      'begin with the one that is open',
      night,
      berlin,
      '2026-06-10T01:00Z',
      1,
      ['2026-06-10T00:00 2026-06-10T03:00', '2026-06-11T00:00 2026-06-11T03:00'],
    ],
    ['do not have the one that is just over', night, berlin, '2026-06-10T03:00Z', 0.5, []],
    ['do not have the one that begins with the end of the offer', night, berlin, '2026-06-10T12:00Z', 0.5, []],
    ['may pass midnight', { from: '22:00', to: '02:00' }, berlin, '2026-06-10T23:00Z', 0.5, ['2026-06-10T20:00 2026-06-11T00:00']],
    [
      'that pass midnight belong to the day on which they begin',
      { from: '22:00', to: '02:00', days: ['fri'] },
      berlin,
      '2026-06-12T23:30Z',
      7,
      ['2026-06-12T20:00 2026-06-13T00:00', '2026-06-19T20:00 2026-06-20T00:00'],
    ],
    [
      'may be the whole of some days',
      { from: '00:00', to: '24:00', days: ['sat', 'sun'] },
      berlin,
      '2026-06-10T12:00Z',
      5,
      ['2026-06-12T22:00 2026-06-13T22:00', '2026-06-13T22:00 2026-06-14T22:00'],
    ],
    ['may end at midnight', { from: '23:00', to: '00:00' }, 'UTC', '2026-06-10T12:00Z', 1, ['2026-06-10T23:00 2026-06-11T00:00']],
    [
      'of a device far in the west are on its day',
      { ...night, days: ['mon'] },
      'America/Los_Angeles',
      '2026-06-07T12:00Z',
      3,
      ['2026-06-08T09:00 2026-06-08T12:00'],
    ],
    [
      'of a device far in the east too',
      { ...night, days: ['mon'] },
      'Pacific/Auckland',
      '2026-06-07T12:00Z',
      3,
      ['2026-06-07T14:00 2026-06-07T17:00'],
    ],
    ['are shorter in the night that lacks an hour', night, berlin, '2026-03-28T12:00Z', 1, ['2026-03-29T01:00 2026-03-29T03:00']],
    [
      'begin when the clock skips their beginning',
      { from: '02:30', to: '03:30' },
      berlin,
      '2026-03-28T12:00Z',
      1,
      ['2026-03-29T01:00 2026-03-29T01:30'],
    ],
    [
      'end when the clock skips their end',
      { from: '01:00', to: '02:30' },
      berlin,
      '2026-03-28T12:00Z',
      1,
      ['2026-03-29T00:00 2026-03-29T01:00'],
    ],
    ['within the hour that is skipped are not', { from: '02:10', to: '02:50' }, berlin, '2026-03-28T12:00Z', 1, []],
    [
      'are longer in the night that has an hour twice',
      { from: '01:00', to: '05:00' },
      berlin,
      '2026-10-24T12:00Z',
      1,
      ['2026-10-24T23:00 2026-10-25T04:00'],
    ],
    [
      'begin with the second of two hours',
      { from: '02:30', to: '04:00' },
      berlin,
      '2026-10-24T12:00Z',
      1,
      ['2026-10-25T01:30 2026-10-25T03:00'],
    ],
    [
      'end with the first of two hours',
      { from: '01:00', to: '02:30' },
      berlin,
      '2026-10-24T12:00Z',
      1,
      ['2026-10-24T23:00 2026-10-25T00:30'],
    ],
    [
      'within an hour that is there twice are in the first',
      { from: '02:10', to: '02:50' },
      berlin,
      '2026-10-24T12:00Z',
      1,
      ['2026-10-25T00:10 2026-10-25T00:50'],
    ],
    [
      'know clocks that change by half an hour',
      { from: '01:45', to: '02:45' },
      'Australia/Lord_Howe',
      '2026-10-03T00:00Z',
      1,
      ['2026-10-03T15:15 2026-10-03T15:45'],
    ],
    [
      'know zones that skipped a day',
      { from: '00:00', to: '24:00' },
      'Pacific/Apia',
      '2011-12-29T12:00Z',
      1.5,
      ['2011-12-29T10:00 2011-12-30T10:00', '2011-12-30T10:00 2011-12-31T10:00'],
    ],
    [
      'are in the zone of the rollout without one of the device',
      { ...night, timeZone: 'Asia/Tokyo' },
      undefined,
      '2026-06-10T12:00Z',
      0.5,
      ['2026-06-10T17:00 2026-06-10T20:00'],
    ],
  ])('%s', (_title, window, zone, from, days, expected) => {
    expect(windows(window, zone, from, days)).toEqual(expected)
  })

  test('are never more than those of two months of nights', () => {
    expect(windows(night, berlin, '2026-06-10T12:00Z', 366)).toHaveLength(MOST_WINDOWS)
    expect(windows({ ...night, days: ['mon'] }, berlin, '2026-06-10T12:00Z', 366).at(-1)).toBe('2027-06-07T00:00 2027-06-07T03:00')
  })
})

test.each([
  ['the device’s own', 'Asia/Tokyo', berlin, 'Asia/Tokyo'],
  ['the rollout’s where the device has none', undefined, berlin, berlin],
  ['the rollout’s where the device’s is not known', 'Mars/Base', berlin, berlin],
  ['the rollout’s where the device’s is empty', '', berlin, berlin],
  ['the rollout’s where the device’s is endless', 'x'.repeat(1_000_000), berlin, berlin],
  ['UTC where neither is known', 'Mars/Base', undefined, 'UTC'],
])('the zone is %s', (_title, device, rollout, zone) => {
  expect(zoneFor(device, rollout === undefined ? {} : { timeZone: rollout })).toBe(zone)
})

test('at every time of a window the clock on the wall is within it, and outside of days on which it changes at no other', () => {
  const zone = fc.constantFrom(
    berlin,
    'America/New_York',
    'Australia/Lord_Howe',
    'Asia/Kolkata',
    'Pacific/Auckland',
    'Africa/Casablanca',
    'UTC',
  )
  const minutes = fc.nat(1_439)
  const day = fc.option(fc.subarray([...WEEKDAYS], { minLength: 1 }), { nil: undefined })
  const start = fc.integer({ min: Date.UTC(2026, 0), max: Date.UTC(2027, 0) })
  fc.assert(
    fc.property(zone, minutes, minutes, day, start, fc.nat(8 * DAY_MS), (zone, begin, end, days, now, after) => {
      fc.pre(begin !== end)
      const window = { from: text(begin), to: text(end), ...(days && { days }) }
      const found = windowsByZone(window, now, now + 20 * DAY_MS)(zone)
      for (const [i, [from, until]] of found.entries()) {
        expect(until).toBeGreaterThan(Math.max(from, now))
        if (i > 0) expect(from).toBeGreaterThanOrEqual(found[i - 1]![1])
        for (const at of [from, Math.floor((from + until) / 2), until - 1]) expect(isWithin(at), `${zone} ${at}`).toBe(true)
      }
      const at = now + after
      if (at < (found.at(-1)?.[0] ?? 0) && !changesAround(at, zone)) expect(isWithin(at)).toBe(found.some((one) => holds(one, at)))

      function isWithin(at: number): boolean {
        const wall = DateTime.fromMillis(at, { zone })
        const minute = wall.hour * 60 + wall.minute
        const isNextDay = begin > end && minute < end
        const weekday = WEEKDAYS[(wall.weekday - 1 + (isNextDay ? 6 : 0)) % 7] as Weekday
        const isInside = begin < end ? minute >= begin && minute < end : minute >= begin || minute < end
        return isInside && (!days || days.includes(weekday))
      }
    }),
    { numRuns: 400 },
  )
})

function text(minutes: number): string {
  return `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`
}

function holds([from, until]: Window, at: number): boolean {
  return from <= at && at < until
}

function changesAround(at: number, zone: string): boolean {
  const offset = (shift: number) => DateTime.fromMillis(at + shift, { zone }).offset
  return offset(-2 * DAY_MS) !== offset(2 * DAY_MS)
}
