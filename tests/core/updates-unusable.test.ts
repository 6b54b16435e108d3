/** An update whose firmware must not go to devices any more: withdrawn, expired, or its key revoked. */
import { expect, test } from 'vitest'
import { ofUpdate, released, told } from '../support/updating-twin.ts'

const UNUSABLE = { code: 'withdrawn', message: 'It was withdrawn.' }

test('one that its device was not told of is over at its next look', () => {
  const twin = released()
  const { events, effects } = twin.due(12_000, [], { ...told(null), unusable: UNUSABLE })
  expect(ofUpdate(events)).toEqual(['update-ended u skipped withdrawn'])
  expect(effects?.updates).toMatchObject([{ id: 'u', status: 'skipped', code: 'withdrawn', message: 'It was withdrawn.' }])
})

test('one whose attempt failed before has failed by that', () => {
  const twin = released()
  twin.answerUpdate('u', 'failed', 'download-failed')
  expect(ofUpdate(twin.due(4_000).events)).toEqual(['update-released u attempt 2 until 102000, due 14000'])
  expect(ofUpdate(twin.due(14_000, [], { ...told(null), unusable: UNUSABLE }).events)).toEqual(['update-ended u failed download-failed'])
})

test('one that its device was told of has its time', () => {
  const twin = released()
  expect(ofUpdate(twin.due(12_000, [], { ...told(2_001), unusable: UNUSABLE }).events)).toEqual(['update-awaited u until 12001'])
})
