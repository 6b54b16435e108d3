/** Markdown as the reports of workflows use it, and words for people. */
import type { Value } from './types.ts'

export function section(title: string, lines: string[]): string {
  return `**${title}**\n\n${lines.filter((line) => line !== '').join('\n')}`
}

/** To the second, for people: `2026-11-21 07:26:03 UTC`. */
export function time(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** To a tenth, of a share of one. */
export function percent(share: number): string {
  return `${Math.round(share * 1_000) / 10} %`
}

export function short(value: Value): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

/** A list: in the Temporal UI the cells of a table stand without any room between them. */
export function counts(title: string, rows: Array<[name: string, count: number]>): string {
  return section(
    title,
    rows.map(([name, count]) => `- ${name}: ${count}`),
  )
}

/** What somebody wrote, in Markdown, in one line: nothing in it is markup. */
export function escaped(text: string): string {
  return straight(text)
    .replace(/\s+/g, ' ')
    .replace(/[\\`*_{}[\]<>#|~&!]/g, '\\$&')
}

/** Device text in Markdown: as code, so that nothing in it is markup. */
export function code(text: string): string {
  return `\`${straight(text).replace(/[`|\r\n\u2028\u2029]/g, ' ')}\``
}

/** Marks that turn the direction of writing would reorder our words after them as well. */
function straight(text: string): string {
  return text.replace(/[\u202a-\u202e\u2066-\u2069]/g, '\ufffd')
}
