/**
 * docs/maintenance.md as it stands there, in its order: its commands by bash and curl, its programs as children, and what is done in the Temporal UI by
 * Temporal's client, against a whole Castor. Its dispatcher is killed while the first alarm's actions are carried out, its worker while a repair is
 * verified; what was to be done was done all the same, and once. Only ports are put in their place.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, Connection, type WorkflowHandle } from '@temporalio/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startCastor, type TestCastor } from '../support/castor.ts'
import type { Json } from '../support/client.ts'
import { examplesOf, runBash, section } from '../support/examples.ts'
import { freePort } from '../support/free-port.ts'
import { missing } from '../support/needs.ts'
import { storyOf } from '../support/ticket-devices.ts'
import { until } from '../support/wait.ts'

const PAGE = 'docs/maintenance.md'
const PROJECT = join(import.meta.dirname, '../..')
const scripts = examplesOf(PAGE)
const [ask, targetsAndModel, rule, alarm, ticket, link, start, repair, reset, left] = scripts as Tuple<string, 10>
const commands = examplesOf(PAGE, '').filter((block) => /^(npm run|node) /.test(block))
const STEP_MS = 60_000
/** What a block of the page sets and a later one uses, as a terminal keeps it. */
const KEPT = ['ALARM', 'TICKET', 'LINK']

type Tuple<T, N extends number, R extends T[] = []> = R['length'] extends N ? R : Tuple<T, N, [...R, T]>

test('the examples of the story are all here', () => {
  expect(scripts).toHaveLength(10)
  expect(commands.map((command) => command.split(' ').slice(0, 3).join(' ').trim())).toEqual([
    'npm run inference',
    'node receiver.mjs |',
    'npm run simulate',
  ])
  expect(tableOfUpdates().map(([update]) => update)).toEqual(['accept', 'start', 'done'])
})

describe.skipIf(missing('bash', 'curl'))('from a reading to a repaired machine (needs bash and curl)', { timeout: 300_000 }, () => {
  let castor: TestCastor
  let connection: Connection
  let folder: string
  let places: Array<[written: string, here: string]>
  const children: ChildProcess[] = []
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'castor-maintenance-'))
    castor = await startCastor({ env: { CASTOR_WEBHOOK_ALLOW_PRIVATE: 'true' } })
    connection = await Connection.connect({ address: castor.temporalAddress })
    process.once('exit', () => {
      for (const child of children) child.kill('SIGKILL')
    })
    await symlink(castor.dataDir, join(folder, '.castor'))
    const [receiver, model] = [await freePort(), await freePort()]
    places = [
      ['http://127.0.0.1:8080', castor.api],
      ['127.0.0.1:9093', `127.0.0.1:${receiver}`],
      ['listen(9093,', `listen(${receiver},`],
      ['127.0.0.1:8500', `127.0.0.1:${model}`],
      ['--port 8500', `--port ${model}`],
    ]
    await writeFile(join(folder, 'receiver.mjs'), placed(examplesOf(PAGE, 'js')[0]!))
    await begin('infra/simulator/inference/main.ts', commands[0]!, 'inference.txt')
    await begin(join(folder, 'receiver.mjs'), '', 'notices.txt')
    await until(async () => (await written('inference.txt')).includes('Ctrl-C'), 'the model is served')
  })
  afterAll(async () => {
    for (const child of children) await ended(child)
    await connection?.close()
    await castor?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  test('say who is told and who predicts, and what a fault is', async () => {
    const made = await run(targetsAndModel)
    expect(made.map(({ name }) => name)).toEqual(['ops', 'boss', 'ann', 'bob', 'pump-failure'])
    const [written] = await run(rule)
    expect(written).toMatchObject({ name: 'bearing', version: 1, status: 'live', warnings: [] })
  })

  test('a pump wears out: its alarm is raised and acknowledged, and the dispatcher is killed while its actions are done', async () => {
    await begin('infra/simulator/main.ts', commands[2]!, 'simulator.txt')
    const acknowledging = run(alarm)
    await until(() => one(castor.sql`select from alarms`), 'the first alarm', STEP_MS)
    expect(await castor.kill('dispatcher')).toBe(true)
    const [acknowledged] = await acknowledging
    expect(acknowledged).toMatchObject({ device: 'sim-pump-0001', rule: 'bearing', version: 1, status: 'acknowledged' })
    expect(acknowledged.values.vibration).toBeGreaterThan(4.5)
    expect(acknowledged.text).toBe(`Vibration of sim-pump-0001 is ${acknowledged.values.vibration} mm/s`)
    expect(Date.parse(acknowledged.raisedAt) - Date.parse(acknowledged.since)).toBeGreaterThanOrEqual(2_000)
    const report = await details((await twinOf('sim-pump-0001')).workflow)
    expect(report).toContain(acknowledged.text)
  })

  test('the model has been asked, and a ticket is there whose technician was told the risk', async () => {
    const [actions, predictions, open] = await run(ticket)
    expect(actions.items.map(({ kind, state }: Json) => [kind, state]).toSorted()).toEqual([
      ['predict', 'done'],
      ['ticket', 'done'],
    ])
    expect(predictions.items.map(({ requestedBy }: Json) => requestedBy.kind).toSorted()).toEqual(['rule', 'ticket'])
    for (const { status, probability, features } of predictions.items) {
      expect([status, probability > 0.7]).toEqual(['answered', true])
      expect(features.vibration).toBeGreaterThan(4.5)
    }
    expect(open).toMatchObject({
      status: 'notified',
      title: 'The bearing is worn',
      asked: { target: 'ann' },
      relapses: 0,
      verifyFor: '10s',
    })
    expect(open.risk.probability).toBeGreaterThan(0.7)
    await until(async () => /^ann firing \w+ sim-pump-0001 .* predicts [\d.]+ %.*\/t\//m.test(await written('notices.txt')), 'Ann is told')
    await until(async () => /^ops firing \w+ sim-pump-0001 /m.test(await written('notices.txt')), 'the control room is told')
  })

  test('Ann accepts it by her link, plans it, begins, and the pump is in maintenance', async () => {
    const page = await output(link)
    for (const words of ['sim-pump-0001', 'pump-failure predicts', 'I take it', '303']) expect(page).toContain(words)
    const [, started, twin] = await run(start)
    expect(started.answer).toMatch(/^Its device is in maintenance until .* no rollout asks it\.$/)
    expect(Date.parse(twin.maintenance.until) - Date.now()).toBeGreaterThan(500_000)
    const { body } = await castor.rest('GET', `/v1/tickets/${started.id}`)
    expect(body).toMatchObject({ status: 'in-progress', assignee: 'ann', maintenanceUntil: twin.maintenance.until })
    const said = body.story.flatMap(({ what, via }: Json) => (via === undefined ? [] : [`${what} ${via}`]))
    expect(said).toEqual(['accepted link', 'scheduled rest', 'started rest'])
  })

  test('she says that it is done, and the worker is killed while that is verified', async () => {
    const [command, done] = await run(repair)
    expect(command).toMatchObject({ name: 'resetBearing', status: 'succeeded' })
    expect(done.answer).toBe(answerOf('done'))
    await until(async () => (await castor.rest('GET', `/v1/tickets/${done.id}`)).body.status === 'verifying', 'it is verified', STEP_MS)
    expect(await castor.kill('worker')).toBe(true)
  })

  test('the boss is told of the other pump, whose alarm nobody acknowledged', async () => {
    await until(async () => /^boss firing \w+ sim-pump-0002 /m.test(await written('notices.txt')), 'the boss is told', STEP_MS)
    expect(await written('notices.txt')).not.toMatch(/^boss .* sim-pump-0001 /m)
  })

  test('a repair that does not hold is reopened with the evidence, in the Temporal UI, and repaired again', async () => {
    const { body } = await castor.rest('GET', '/v1/tickets?device=sim-pump-0002&open=true')
    const [{ id }] = body.items
    const handle = new Client({ connection }).workflow.getHandle(`ticket:demo:${id}`)
    const status = async () => (await castor.rest('GET', `/v1/tickets/${id}`)).body
    for (const round of ['it does not hold', 'it holds']) {
      if (round === 'it does not hold') expect(await asked(handle, 'accept')).toContain(answerOf('accept'))
      expect(await asked(handle, 'start'), round).toContain(answerOf('start'))
      expect((await run(reset))[0], round).toMatchObject({ status: 'succeeded' })
      expect(await asked(handle, 'done'), round).toBe(answerOf('done'))
      if (round === 'it holds') break
      await until(async () => (await status()).status === 'reopened', 'it is reopened', STEP_MS)
      const { relapses, reason, asked: told, itsAlarms } = await status()
      expect([relapses, told.target]).toEqual([1, 'bob'])
      const [newest] = itsAlarms
      const n = newest.id.split('-')[1]
      expect(Number(n)).toBe(2)
      expect(reason).toMatch(new RegExp(`^Alarm ${n}(,| was) raised on .*: Vibration of sim-pump-0002 is [\\d.]+ mm/s$`))
      expect(await details(handle.workflowId)).toContain(`It is not repaired. Alarm ${n}`)
      await until(async () => /^bob firing \w+ sim-pump-0002 .*It is not repaired\./m.test(await written('notices.txt')), 'Bob is told why')
    }
  })

  test('both are closed, and whatever was killed, nothing of it is lost or twice', async () => {
    const [tickets, notices, alarms, predictions] = await run(left)
    expect(tickets.items.map(({ device, relapses }: Json) => [device, relapses]).toSorted()).toEqual([
      ['sim-pump-0001', 0],
      ['sim-pump-0002', 1],
    ])
    for (const { reason, endedAt } of tickets.items) {
      expect(reason).toMatch(/and the risk is low: pump-failure predicts [\d.]+ %, its threshold is 70 %\.$/)
      expect(endedAt).toBeDefined()
    }
    const boss = notices.items.filter(({ target }: Json) => target === 'boss')
    expect(boss).toMatchObject([{ state: 'cancelled' }])
    expect(alarms.items.slice(-2)).toMatchObject([
      { id: expect.stringMatching(/-2$/), status: 'cleared', cleared: { reason: 'rule' } },
      { id: expect.stringMatching(/-1$/), status: 'cleared', cleared: { reason: 'rule' }, severity: 'critical' },
    ])
    // What it measured since: no trace of the bearing that was.
    expect(predictions.items[0].features.vibration).toBeLessThan(3)

    await ended(children.pop()!)
    await onceEach()
  })

  /** Of each alarm each action was done once, and each message that was sent has one id. */
  async function onceEach(): Promise<void> {
    const { sql } = castor
    const due = () => sql`select from notices where state in ('waiting', 'held') and due_at < now()`
    await until(async () => (await due()).length === 0, 'what is due is told', STEP_MS)
    const alarms = await sql<Array<{ alarm: string; muted: boolean }>>`select incarnation || '-' || n as alarm, muted from alarms`
    expect(alarms.length).toBeGreaterThanOrEqual(3)
    const raised = await sql<Array<{ count: number }>>`
      select count(*)::int as count from twin_history where kind = 'alarm-raised' group by incarnation, event::json #>> '{alarm,n}'`
    expect(raised.map(({ count }) => count)).toEqual(alarms.map(() => 1))
    for (const { alarm, muted } of alarms) {
      const { body } = await castor.rest('GET', `/v1/rules/bearing/actions?alarm=${alarm}`)
      const kinds = body.items.map(({ kind }: Json) => kind).toSorted()
      expect([alarm, muted, kinds]).toEqual([alarm, muted, ['predict', 'ticket']])
      const told = (await castor.rest('GET', `/v1/notices?alarm=${alarm}`)).body.items
      const steps = told.map(({ target, status, severity }: Json) => `${target} ${status} ${severity}`)
      expect(new Set(steps).size, steps.join()).toBe(steps.length)
      if (!alarm.endsWith('-1')) continue
      const sent = told.flatMap(({ target, status, state }: Json) => (state === 'sent' ? [`${target} ${status}`] : []))
      expect(sent, alarm).toEqual(expect.arrayContaining(['ops firing', 'ops resolved']))
    }
    const [{ asked, answered }] = await sql<[{ asked: number; answered: number }]>`
      select count(*)::int as asked, count(*) filter (where status = 'answered')::int as answered from predictions where requested_kind = 'rule'`
    expect([asked, answered]).toEqual([alarms.length, alarms.length])
    const closed = await sql<Array<{ id: string }>>`select id from tickets where status = 'closed' order by number`
    const stories = await Promise.all(closed.map(({ id }) => storyOf(sql, id)))
    const begins = ['opened', 'predict', 'predicted', 'told', 'accepted']
    // When it became worse, and whether the next alarm came before `done`, is a matter of moments.
    expect(stories.map((story) => story.filter((what) => what !== 'severity' && what !== 'alarm'))).toEqual([
      [...begins, 'scheduled', 'started', 'done', 'verifying', 'predict', 'closed'],
      [...begins, 'started', 'done', 'verifying', 'reopened', 'told', 'started', 'done', 'verifying', 'predict', 'closed'],
    ])
  }

  function placed(text: string): string {
    return places.reduce((before, [from, to]) => before.replaceAll(from, to), text)
  }

  async function output(script: string): Promise<string> {
    const vars = join(folder, 'vars')
    const text = `touch ${vars}; source ${vars}\n${ask}\n${script}\n{ for name in ${KEPT.join(' ')}; do declare -p $name || true; done; } > ${vars} 2>/dev/null`
    const { code, output, errors } = await runBash(folder, placed(text))
    expect(code, `${script}\n${output}\n${errors}`).toBe(0)
    return output
  }

  /** curl ends no line, so one answer follows the other. */
  async function run(script: string): Promise<Json[]> {
    const lines = (await output(script)).replaceAll('}{', '}\n{').split('\n')
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line))
  }

  async function begin(program: string, command: string, file: string): Promise<void> {
    const [, words = ''] = / -- (.*)$/m.exec(placed(command)) ?? []
    const ports = {
      CASTOR_HTTP_PORT: new URL(castor.api).port,
      CASTOR_DEVICE_HTTP_PORT: new URL(castor.deviceHttp).port,
      CASTOR_MQTT_PORT: String(castor.mqttPort),
      CASTOR_DATA_DIR: castor.dataDir,
    }
    const descriptor = openSync(join(folder, file), 'w')
    const child = spawn(process.execPath, [program, ...words.split(' ').filter(Boolean)], {
      ...{ cwd: PROJECT, env: { PATH: process.env.PATH, ...ports }, stdio: ['ignore', descriptor, descriptor] },
    })
    children.push(child)
  }

  async function ended(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGINT')
    await once(child, 'exit')
  }

  const written = (file: string) => readFile(join(folder, file), 'utf8')
  const one = async (query: Promise<readonly unknown[]>) => (await query).length > 0

  async function twinOf(device: string): Promise<{ workflow: string }> {
    const [row] = await castor.sql<[{ incarnation: number }]>`select incarnation from devices where device = ${device}`
    return { workflow: `twin:demo:${device}:${row.incarnation}` }
  }

  /** User Metadata of its page. */
  async function details(workflow: string): Promise<string> {
    const handle = new Client({ connection }).workflow.getHandle(workflow)
    return (await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata')).currentDetails
  }

  /** As the UI does it, with the argument that the page shows. */
  async function asked(handle: WorkflowHandle, update: string): Promise<string> {
    const [, argument] = tableOfUpdates().find(([name]) => name === update)!
    return handle.executeUpdate<string, [object]>(update, { args: [JSON.parse(argument!)] })
  }
})

function answerOf(update: string): string {
  return tableOfUpdates().find(([name]) => name === update)![2]!
}

function tableOfUpdates(): string[][] {
  const [table = ''] = /(^\|.*\n)+/m.exec(section(PAGE, 'A repair that does not hold')) ?? []
  const cells = (line: string) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', ''))
  return table.trim().split('\n').slice(2).map(cells)
}
