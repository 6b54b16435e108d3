/**
 * The commands that README and docs/protocol.md show, run as they stand there, by bash, curl, mosquitto_pub and mosquitto_sub, against a
 * whole Castor. Only its ports are put in their place.
 */
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startCastor, type TestCastor } from '../support/castor.ts'
import type { Json } from '../support/client.ts'
import { blocksOf, examplesOf, runBash, section } from '../support/examples.ts'
import { missing } from '../support/needs.ts'
import { until } from '../support/wait.ts'

/** Of docs/protocol.md: what is asked of a device, and how it answers. */
const CONVERSATIONS = ['Wishes: `desired` and `reported`', 'Commands', 'What is pending, over HTTP']

describe.skipIf(missing('bash', 'curl', 'mosquitto_pub', 'mosquitto_sub'))(
  'the examples (need bash, curl and the mosquitto clients)',
  () => {
    let castor: TestCastor
    let folder: string
    beforeAll(async () => {
      castor = await startCastor()
      folder = await mkdtemp(join(tmpdir(), 'castor-examples-'))
      await symlink(castor.dataDir, join(folder, '.castor'))
    })
    afterAll(async () => {
      await castor?.stop()
      await rm(folder, { recursive: true, force: true })
    })

    test('of README show a twin that changes', async () => {
      const { output, errors } = await run(examplesOf('README.md').join('\n'))
      const registered = JSON.parse(errors.trim())
      expect(registered).toMatchObject({ id: 't-1', model: 'thermostat', token: expect.any(String) })
      // curl ends no line, so one answer follows the other.
      const answers = output
        .replaceAll('}{', '}\n{')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Json)
      const twins = answers.filter((answer) => answer.presence)
      expect(twins.map(({ id }) => id)).toEqual(['t-1', 't-1'])
      expect(answers.filter((answer) => answer.items)).toHaveLength(3)
      const wishes = answers.filter((answer) => answer.metadata).map(({ metadata }) => metadata['/targetTemperature'].status)
      expect(wishes).toEqual(['pending', 'converged'])

      const twin = await until(async () => {
        const { body } = await castor.rest('GET', '/v1/twins/t-1')
        return body.ranges?.temperature?.status === 'high' && body
      }, 'the twin has left its range')
      expect(twin.telemetry.temperature.value).toBe(38.2)
      expect(twin.presence.status).toBe('online')
      const { body } = await castor.rest('GET', '/v1/twins/t-1/telemetry?name=temperature')
      expect(body.items.map((item: Json) => item.value)).toEqual([38.2, 21.4])
      await castor.rest('DELETE', '/v1/devices/t-1')
    })

    test('of the protocol are acknowledged, and nothing of them is a dead letter', async () => {
      const conversations = CONVERSATIONS.flatMap((title) => blocksOf(section('docs/protocol.md', title), 'sh'))
      const [register, ...messages] = examplesOf('docs/protocol.md').filter((example) => !conversations.includes(example))
      const { token } = JSON.parse((await run(register!)).output)
      const tokens: Record<string, string> = { 't-1': token, 'p-1': await castor.register('p-1', 'pump') }
      expect(messages.length).toBeGreaterThanOrEqual(3)
      for (const example of messages) {
        const device = example.includes('demo/p-1') ? 'p-1' : 't-1'
        const { output } = await run(example, { TOKEN: tokens[device]! })
        expect(output.match(/^HTTP\/1\.1 \d+/gm) ?? []).toEqual((example.match(/curl/g) ?? []).map(() => 'HTTP/1.1 202'))
      }
      await until(async () => (await twinOf('t-1')).telemetry.humidity?.value === 43, 'the last of them is there')
      expect((await twinOf('t-1')).telemetry.temperature).toMatchObject({ value: 21.4, unit: 'Cel' })
      await until(async () => (await twinOf('p-1')).revision > 0, 'the twin of the pump has decided')
      expect(await wrongWith('p-1', 't-1')).toEqual([])
      await castor.rest('DELETE', '/v1/devices/t-1')
    })

    test('of the protocol make a wish come true and a command end, by the mosquitto clients alone', async () => {
      const TOKEN = await castor.register('t-1')
      const [wish, waitForIt, answer] = conversation(0)
      expect(JSON.parse((await run(wish!)).output)).toMatchObject({ version: 1, state: { targetTemperature: 21.5 } })
      const { output } = await run(waitForIt!, { TOKEN })
      const [asShown] = blocksOf(section('docs/protocol.md', CONVERSATIONS[0]!), 'json')
      expect(JSON.parse(output)).toEqual(JSON.parse(asShown!))
      await run(answer!, { TOKEN })
      await until(async () => (await wished('/targetTemperature')).status === 'converged', 'the wish has converged')

      const [ask, doIt] = conversation(1)
      const { id } = JSON.parse((await run(ask!)).output)
      await run(doIt!, { TOKEN })
      const command = await until(async () => ended(id), 'the command has ended')
      expect(command).toMatchObject({ name: 'diagnose', status: 'succeeded', output: { health: { ok: true, battery: 81 } }, attempts: 1 })
      expect(await wrongWith('t-1')).toEqual([])
    })

    test('of the protocol do the same over HTTP, by curl alone', async () => {
      await castor.rest('PATCH', '/v1/twins/t-1/desired', { targetTemperature: 20 })
      const { body: desired } = await castor.rest('PATCH', '/v1/twins/t-1/desired', { targetTemperature: 19 })
      const { body: command } = await castor.rest('POST', '/v1/twins/t-1/commands', { name: 'identify' })
      const TOKEN = (await castor.rest('POST', '/v1/devices/t-1/token', {})).body.token
      const [look, answer] = conversation(2)
      const pending = JSON.parse((await run(look!, { TOKEN })).output)
      const [asShown] = blocksOf(section('docs/protocol.md', CONVERSATIONS[2]!), 'json').map((text) => JSON.parse(text))
      expect(Object.keys(pending)).toEqual(Object.keys(asShown))
      expect(pending).toMatchObject({ desired: asShown.desired, cancels: [] })
      expect(desired.version).toBe(asShown.desired.version)
      await until(async () => (await castor.rest('GET', `/v1/commands/${command.id}`)).body.status !== 'queued', 'the command is sent')
      const { output } = await run(answer!, { TOKEN })
      // curl ends no line.
      expect(output.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 202', 'HTTP/1.1 202'])
      expect(await until(async () => ended(command.id), 'the command has ended')).toMatchObject({ status: 'succeeded' })
      await until(async () => (await wished('/targetTemperature')).status === 'converged', 'the wish has converged')
      expect(await wrongWith('t-1')).toEqual([])
    })

    test('of messages in the protocol are taken', async () => {
      const token = await castor.register('t-2')
      const post = async (place: string, body: string) => {
        const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
        const { status } = await fetch(`${castor.deviceHttp}/device/v1/${place}`, { method: 'POST', headers, body })
        expect(status).toBe(202)
      }
      for (const message of blocksOf(section('docs/protocol.md', 'Telemetry'), 'json')) await post('telemetry', message)
      for (const message of blocksOf(section('docs/protocol.md', 'Presence'), 'json'))
        await post('presence', message.replace('"…"', `"${'a1'.repeat(32)}"`))
      await post('telemetry', '{"targetTemperature": 20}')
      await until(async () => (await twinOf('t-2')).telemetry.targetTemperature?.value === 20, 'the last of them is there')
      await until(async () => (await twinOf('t-2')).firmware?.version === '1.4.2', 'the hello is decided')
      expect(await wrongWith('t-2')).toEqual([])
    })

    /** A time that a page shows is of the day on which it was written, and too old one day. */
    async function wrongWith(...devices: string[]): Promise<Json[]> {
      const { body } = await castor.rest('GET', '/v1/dead-letters')
      return body.items.filter((item: Json) => devices.includes(item.device) && item.reason !== 'too-old')
    }

    async function wished(path: string): Promise<Json> {
      return (await castor.rest('GET', '/v1/twins/t-1/desired')).body.metadata[path]
    }

    async function ended(id: string): Promise<Json | false> {
      const { body } = await castor.rest('GET', `/v1/commands/${id}`)
      return body.endedAt !== undefined && body
    }

    async function twinOf(id: string): Promise<Json> {
      return (await castor.rest('GET', `/v1/twins/${id}`)).body
    }

    /** In a folder that has `.castor` as the project's has. */
    async function run(script: string, env: Record<string, string> = {}): Promise<{ output: string; errors: string }> {
      const { code, output, errors } = await runBash(folder, here(script), env)
      expect(code, `${here(script)}\n${output}\n${errors}`).toBe(0)
      return { output, errors }
    }

    function here(script: string): string {
      return script
        .replaceAll('http://127.0.0.1:8080', castor.api)
        .replaceAll('http://127.0.0.1:8081', castor.deviceHttp)
        .replaceAll('-p 1883', `-p ${castor.mqttPort}`)
    }
  },
)

function conversation(number: number): string[] {
  return blocksOf(section('docs/protocol.md', CONVERSATIONS[number]!), 'sh')
}
