/** What somebody wrote, in a report: it is shown, and changes nothing of what stands around it. */
import { expect, test } from 'vitest'
import { code, escaped } from '../../twin-models/core/markdown.ts'

test('marks that turn the direction of writing do not reorder what stands after them', () => {
  for (const mark of '\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069') {
    expect(code(`to 1.5.0 ${mark}x`)).toBe('`to 1.5.0 \ufffdx`')
    expect(escaped(`to 1.5.0 ${mark}x`)).toBe('to 1.5.0 \ufffdx')
  }
})

test('words of any direction stay as they are', () => {
  expect(code('גרסה \u200f1.5')).toBe('`גרסה \u200f1.5`')
  expect(escaped('نسخة')).toBe('نسخة')
})

test('nothing ends code, nor its line', () => {
  expect(code('a`b|c\r\nd\u2028e\u2029f')).toBe('`a b c  d e f`')
})
