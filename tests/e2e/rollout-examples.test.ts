/**
 * docs/rollouts.md as it stands there, in its order: its commands by bash, curl and npm, and what an operator does in the Temporal UI by Temporal's
 * client, against a whole Castor and its simulated fleet. Only ports and ids are put in their place. Its tables are held against the code.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, Connection, type WorkflowHandle } from '@temporalio/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { shownSpec } from '../../api/http/rollout-json.ts'
import { initialRollout } from '../../twin-models/core/rollout.ts'
import { gateOf } from '../../twin-models/core/rollout-judge.ts'
import { steer } from '../../twin-models/core/rollout-steer.ts'
import type { RolloutAsk, RolloutCounts, RolloutPlan, RolloutState } from '../../twin-models/core/rollout-types.ts'
import { EMPTY_WAVE, waveSizes } from '../../twin-models/core/rollout-waves.ts'
import { rolloutRequest, rolloutSpecOf } from '../../twin-models/schemas/rollout.ts'
import { startCastor, type TestCastor } from '../support/castor.ts'
import type { Json } from '../support/client.ts'
import { blocksOf, examplesOf, runBash, section } from '../support/examples.ts'
import { missing } from '../support/needs.ts'
import { until } from '../support/wait.ts'

const PAGE = 'docs/rollouts.md'
const PROJECT = join(import.meta.dirname, '../..')
const scripts = examplesOf(PAGE)
const [sign, upload, ask, look, group, preview, draft, approve, steering, ends, back] = scripts as Tuple<string, 11>
const fleets = examplesOf(PAGE, '').filter((block) => block.startsWith('npm run simulate -- '))
const inUi = section(PAGE, 'In the Temporal UI')
const END_MS = 180_000

type Tuple<T, N extends number, R extends T[] = []> = R['length'] extends N ? R : Tuple<T, N, [...R, T]>

test('the examples of rollouts are all here', () => {
  expect(scripts).toHaveLength(11)
  expect(fleets).toHaveLength(2)
  expect(blocksOf(inUi, 'json')).toHaveLength(2)
})

describe.skipIf(missing('bash', 'curl', 'npm'))('the examples of rollouts (need bash, curl and npm)', { timeout: 600_000 }, () => {
  let castor: TestCastor
  let connection: Connection
  let handle: WorkflowHandle
  let folder: string
  let fleet: ChildProcess | undefined
  beforeAll(async () => {
    castor = await startCastor()
    connection = await Connection.connect({ address: castor.temporalAddress })
    process.once('exit', () => fleet?.kill('SIGKILL'))
    folder = await mkdtemp(join(tmpdir(), 'castor-rollout-examples-'))
    await symlink(castor.dataDir, join(folder, '.castor'))
    for (const name of ['package.json', 'node_modules', 'twin-models', 'activities', 'workflows', 'api', 'infra'])
      await symlink(join(PROJECT, name), join(folder, name))
    await simulate(fleets[0]!)
  })
  afterAll(async () => {
    await stopSimulation()
    await connection?.close()
    await castor?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  test('sign firmware and upload it', async () => {
    const { output } = await run(sign)
    expect(output).toMatch(/^thermostat-1\.5\.0\.bin is thermostat 1\.5\.0, release 150, signed by [0-9a-f]{32}$/m)
    expect((await run(upload)).output.match(/^[0-9a-f-]{36}: uploaded$/gm)).toHaveLength(2)
    const [again, listed] = answersIn((await run(look)).output)
    expect(again).toMatchObject({ version: '1.5.0', usable: true, notes: 'A quieter valve' })
    expect(listed.items).toMatchObject([again, { version: '1.4.2', usable: true }])
  })

  test('make groups, and show whom a rollout would reach', async () => {
    await knownFirmware('1.4.2', 100)
    const made = answersIn((await run(group)).output).slice(-2)
    expect(made).toMatchObject([
      { name: 'pilots', devices: { count: 4 } },
      { name: 'lab', firmwarePin: '1.4.2', devices: { count: 10 } },
    ])
    const [found] = answersIn((await run(preview)).output)
    expect(found).toMatchObject({ found: 100, total: 90, versions: [{ version: '1.4.2', devices: 90 }] })
    expect(found.waves.map(({ devices }: Json) => devices)).toEqual([4, 23, 63])
    expect(found.leftOut).toMatchObject([{ reason: 'pinned', devices: 10 }])
  })

  test('start it in the Temporal UI, where it halts twice by itself, and is rolled back', async () => {
    const [start] = blocksOf(inUi, 'json').map((text) => JSON.parse(text))
    const { tenant, ...same } = start
    expect({ tenant, ...same }).toEqual({ tenant: 'demo', ...JSON.parse(preview.split('\n').slice(1, 3).join('\n')) })
    handle = await new Client({ connection }).workflow.start('rollout', {
      ...{ workflowId: 'thermostats-1.5.0', taskQueue: 'operations', args: [start] },
    })
    await reports('It waits for its approval.')
    expect(await asked('approve')).toBe(answerOf('approve'))
    await reports('**Wave 1: 1 of 4 devices failed: the gate, 4 healthy, is out of reach.**')
    expect(await asked('exclude')).toBe(answerOf('exclude'))
    await until(async () => (await castor.rest('GET', '/v1/rollouts?status=halted')).body.items.length === 1, 'REST has it, halted')
    const resumed = 'It goes on. The failure until now is acknowledged: it does not halt because of it again.'
    expect(await asked('resume')).toBe(resumed)
    await reports(/### Rollout halted.*\*\*Wave [23]: .*Last: resume, /s)
    expect(await asked('rollback')).toBe(answerOf('rollback'))
    expect(await handle.result()).toMatchObject({ status: 'completed', devices: { failed: 0 } })
    expect(await report()).toContain('### Rollback completed')
    await knownFirmware('1.5.0', 0)
  })

  test('bring the mended firmware to every device with curl, and take it back', async () => {
    await stopSimulation()
    await simulate(fleets[1]!)
    const made = answersIn((await run(draft)).output).at(-1)
    expect(made).toMatchObject({ status: 'draft', preview: { total: 90 } })
    const [approved] = answersIn((await run(approve)).output)
    expect(approved, JSON.stringify(approved)).toMatchObject({ answer: 'It is approved and begins.' })
    const path = `/v1/rollouts/${made.id}`
    const stands = async () => (await castor.rest('GET', path)).body
    await until(async () => (await stands()).devices.underway > 0, 'its devices are chosen, and the first are asked')
    const [excluded, paced, seen, updates] = answersIn((await run(`${takeId}\n${steering}`)).output)
    expect([excluded.answer, paced.answer]).toEqual([expect.stringContaining('is left out'), expect.stringContaining('at most 20 devices')])
    expect([seen.status, seen.devices.total, updates.items.length]).toEqual(['running', 90, 2])

    await until(async () => (await stands()).status === 'completed', 'it is completed', END_MS).catch(async (cause) =>
      expect.fail(`${cause}\n${JSON.stringify(await stands())}`),
    )
    const { output } = await run(`${takeId}\n${ends}\ncat devices.csv`)
    const [healthy, ...rest] = output.split('\n')
    expect(Number(healthy)).toBe(89)
    expect(rest.join('\n')).toContain(
      examplesOf(PAGE, '')
        .find((block) => block.startsWith('device,'))!
        .split('\n')[0],
    )
    expect(rest.join('\n')).toMatch(/^sim-thermostat-0042,[23],1\.4\.2,skipped,excluded,/m)
    const [rolledBack] = answersIn((await run(`${takeId}\n${back}`)).output)
    expect(rolledBack.answer).toBe(answerOf('rollback'))
    await until(async () => (await stands()).direction === 'back', 'it goes back')
  })

  test('ask for a rollback of what has ended in the Temporal UI, by its id', async () => {
    const { body } = await castor.rest('GET', '/v1/rollouts')
    const { id } = body.items.find(({ name }: Json) => name === 'Thermostats to 1.5.0')
    const [, again] = blocksOf(inUi, 'json').map((text) => JSON.parse(text))
    handle = await new Client({ connection }).workflow.start('rollout', {
      ...{ workflowId: 'once-more', taskQueue: 'operations', args: [{ ...again, id }] },
    })
    expect(await handle.result()).toMatchObject({ id, status: 'completed' })
    expect(await report()).toContain('Last: rollback, asked in the Temporal UI, was refused. It rolls back already, and is completed.')
  })

  test('of events are those of the catalogue', async () => {
    const { body } = await castor.rest('GET', '/v1/event-types')
    const example = body.items.find(({ name }: Json) => name === 'rollout.halted').example
    expect(JSON.parse(blocksOf(section(PAGE, 'Events'), 'json')[0]!)).toEqual(example)
  })

  const takeId = approve.split('\n')[0]!

  /** As the UI does it, with the argument that the page shows. */
  async function asked(update: string): Promise<string> {
    const [, argument] = rowOf(update)
    if (argument === '') return handle.executeUpdate<string, []>(update)
    return handle.executeUpdate<string, [object]>(update, { args: [JSON.parse(argument)] })
  }

  async function report(): Promise<string> {
    return (await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata')).currentDetails
  }

  async function reports(words: string | RegExp): Promise<void> {
    const says = async () => (typeof words === 'string' ? (await report()).includes(words) : words.test(await report()))
    await until(says, `its report says ${words}`, END_MS).catch(async (cause) => expect.fail(`${cause}\n${await report()}`))
  }

  async function knownFirmware(version: string, devices: number): Promise<void> {
    const isSo = async () => {
      const [row] = await castor.sql<[{ count: number }]>`
        select count(*)::int as count from devices where decided #>> '{firmware,version}' = ${version}`
      return row.count === devices
    }
    await until(isSo, `${devices} twins know that ${version} runs`, END_MS)
  }

  async function run(script: string): Promise<{ output: string }> {
    const here = [ask, script].map((text) => text.replaceAll('http://127.0.0.1:8080', castor.api)).join('\n')
    const { code, output, errors } = await runBash(folder, here, { CASTOR_HTTP_PORT: new URL(castor.api).port })
    expect(code, `${script}\n${output}\n${errors}`).toBe(0)
    return { output }
  }

  async function simulate(command: string): Promise<void> {
    const [, words] = /^npm run simulate -- (.*)$/m.exec(command)!
    const ports = {
      CASTOR_HTTP_PORT: new URL(castor.api).port,
      CASTOR_DEVICE_HTTP_PORT: new URL(castor.deviceHttp).port,
      CASTOR_MQTT_PORT: String(castor.mqttPort),
    }
    fleet = spawn(process.execPath, ['infra/simulator/main.ts', ...words!.split(' ')], {
      ...{ cwd: folder, env: { PATH: process.env.PATH, ...ports }, stdio: 'ignore' },
    })
  }

  async function stopSimulation(): Promise<void> {
    if (!fleet || fleet.exitCode !== null) return
    fleet.kill('SIGINT')
    await once(fleet, 'exit')
  }
})

describe('the tables of rollouts', () => {
  test('name every field of a request, with what it is when it is not said', () => {
    const minimal = { name: 'n', firmware: { name: 'f', version: '1' }, filter: "model = 'm'" }
    const defaults: Json = shownSpec(rolloutSpecOf(rolloutRequest.parse(minimal)))
    const rows = tableOf(section(PAGE, 'What a rollout is asked for')).map(([name, value]) => [name!.replaceAll('`', ''), value!] as const)
    const names = rows.flatMap(([name]) => name.split(', or '))
    expect(names.toSorted()).toEqual(Object.keys(rolloutRequest.shape).toSorted())
    for (const [name, value] of rows) {
      if (value.startsWith('as ')) expect(defaults[name]).toEqual(defaults[value.replaceAll('`', '').slice(3)])
      else if (!(name in minimal) && name !== 'filter, or group')
        expect([name, defaults[name]]).toEqual([name, value === '' ? undefined : JSON.parse(value.replaceAll('`', ''))])
    }
  })

  test('show what the Updates answer', () => {
    const plan = {
      ...rolloutSpecOf(rolloutRequest.parse({ name: 'n', firmware: { name: 'f', version: '1' }, filter: "model = 'm'" })),
      by: 'ben',
    }
    const counts = { waves: [{ ...EMPTY_WAVE, total: 8, healthy: 4, failed: 4 }, EMPTY_WAVE], ahead: 0 }
    const running: RolloutState = { ...initialRollout(plan), status: 'running', chosen: true }
    const rows = tableOf(inUi)
    expect(rows.map(([update]) => update)).toHaveLength(9)
    for (const [update, argument, answer] of rows.map((row) => row.map((cell) => cell.replaceAll('`', '')))) {
      const before = { approve: initialRollout(plan), resume: { ...running, status: 'halted' as const } }[update!] ?? running
      const given = { action: update, ...(argument ? JSON.parse(argument) : {}) } as RolloutAsk
      const answered = answerTo(before, plan, given, counts)
      // What became of the device is known only when it is done.
      if (update === 'exclude') expect(answered.startsWith(answer!.replace(/\.$/, ''))).toBe(true)
      else expect(answered).toBe(answer)
    }
  })

  test('say how waves are filled, and what their gates are', () => {
    const counted = section(PAGE, 'What is counted')
    const [, waves, gates] = counted.split(/\n### (?:Waves|The gate)\n/)
    const rows = tableOf(waves!)
    expect(rows).toHaveLength(4)
    for (const [devices, rules, hold] of rows) {
      const groups = /^(\d+) of a group, /.exec(rules!)
      const percents = numbersIn(rules!.slice(groups?.[0].length ?? 0)).map((percent) => ({ percent }))
      const wanted = groups ? [{ group: 'g' }, ...percents] : percents
      expect(waveSizes(numberIn(devices!), wanted, groups ? [Number(groups[1])] : [])).toEqual(numbersIn(hold!))
    }
    const shown = tableOf(gates!)
    expect(shown).toHaveLength(6)
    for (const [total, gate, needed] of shown) {
      const wave = { ...EMPTY_WAVE, total: numberIn(total!), waiting: numberIn(total!) }
      expect(gateOf(Number(gate), wave, 0).needed).toBe(numberIn(needed!))
    }
  })
})

function answerTo(state: RolloutState, plan: RolloutPlan, ask: RolloutAsk, counts: RolloutCounts): string {
  const steered = steer(state, plan, ask, counts, 0)
  return steered.refused ?? steered.answer
}

/** Of the first table: its rows, without the head. */
function tableOf(text: string): string[][] {
  const [first = ''] = /(^\|.*\n)+/m.exec(text) ?? []
  const cells = (line: string) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
  return first.trim().split('\n').slice(2).map(cells)
}

function rowOf(update: string): [update: string, argument: string, answer: string] {
  const row = tableOf(inUi)
    .map((cells) => cells.map((cell) => cell.replaceAll('`', '')))
    .find(([name]) => name === update)
  return row as [string, string, string]
}

function answerOf(update: string): string {
  return rowOf(update)[2]
}

/** `1,000` is one. */
function numberIn(text: string): number {
  return Number(text.replaceAll(',', ''))
}

function numbersIn(text: string): number[] {
  return text.replace(' %', '').split(', ').map(numberIn)
}

/** curl ends no line, so one answer follows the other; other lines are of npm. */
function answersIn(output: string): Json[] {
  return output
    .replaceAll('}{', '}\n{')
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
}
