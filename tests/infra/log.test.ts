import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { boundLogFile, createLog, type LogEntry, terminalLine } from '../../infra/log.ts'
import { createTerminal } from '../../infra/processes/terminal.ts'

describe('logs', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'castor-log-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  test('everything goes into the file, only what is noteworthy to the terminal, and no token into either', async () => {
    const file = join(folder, 'logs', 'bridge.log')
    const notes: LogEntry[] = []
    const log = createLog({ name: 'bridge', level: 'info', file, note: (entry) => notes.push(entry) })
    log.debug('unseen')
    log.info({ token: 'secret', device: { token: 'secret' } }, 'quiet')
    log.warn({ err: new Error('no route') }, 'Postgres does not answer')
    const lines = (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.map(({ msg, name }) => [name, msg])).toEqual([
      ['bridge', 'quiet'],
      ['bridge', 'Postgres does not answer'],
    ])
    expect(JSON.stringify(lines)).not.toContain('secret')
    expect(notes.map(terminalLine)).toEqual([
      expect.stringMatching(/^\d\d:\d\d:\d\d {2}bridge: warning: Postgres does not answer \(no route\)$/),
    ])
  })

  test('with debug the terminal sees everything', () => {
    const notes: LogEntry[] = []
    const log = createLog({ name: 'api', level: 'debug', file: join(folder, 'api.log'), note: (entry) => notes.push(entry) })
    log.debug('a detail')
    expect(notes.map(({ msg }) => msg)).toEqual(['a detail'])
  })

  test('a file that grew too large is set aside, and writing goes on', async () => {
    const file = join(folder, 'api.log')
    const log = createLog({ name: 'api', level: 'info', file })
    log.info('x'.repeat(500))
    await boundLogFile(file, 1_000)
    expect((await stat(file)).size).toBeGreaterThan(500)
    await boundLogFile(file, 100)
    log.info('after')
    expect((await stat(`${file}.1`)).size).toBeGreaterThan(500)
    expect(JSON.parse(await readFile(file, 'utf8')).msg).toBe('after')
  })

  test('the terminal shows the same note once a minute and counts the others', () => {
    const lines: string[] = []
    let now = 0
    const terminal = createTerminal(
      (line) => lines.push(line),
      () => now,
    )
    for (let i = 0; i < 5; i++) terminal.note(`00:00:0${i}  bridge: warning: ${i} devices left`)
    terminal.note('00:00:05  bridge: warning: something else')
    now = 61_000
    terminal.note('00:01:01  bridge: warning: 9 devices left')
    expect(lines).toEqual([
      '00:00:00  bridge: warning: 0 devices left',
      '00:00:05  bridge: warning: something else',
      '00:01:01  bridge: warning: 9 devices left [4 more like it in the last minute]',
    ])
  })
})
