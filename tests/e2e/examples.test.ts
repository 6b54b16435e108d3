/**
 * The commands that README and docs/protocol.md show, run as they stand there, by bash, curl and mosquitto_pub, against a whole Castor.
 * Only its ports are put in their place.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startCastor, type TestCastor } from '../support/castor.ts'
import type { Json } from '../support/client.ts'
import { missing } from '../support/needs.ts'
import { textOf } from '../support/repository.ts'
import { until } from '../support/wait.ts'

const TIMEOUT_MS = 60_000

describe.skipIf(missing('bash', 'curl', 'mosquitto_pub'))('the examples (need bash, curl and mosquitto_pub)', () => {
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
    const [register, ...messages] = examplesOf('docs/protocol.md')
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

  async function twinOf(id: string): Promise<Json> {
    return (await castor.rest('GET', `/v1/twins/${id}`)).body
  }

  /** Bash, in a folder that has `.castor` as the project's has. Files, not pipes: /dev/stderr cannot be opened where it is a socket. */
  async function run(script: string, env: Record<string, string> = {}): Promise<{ output: string; errors: string }> {
    const paths = [join(folder, 'output'), join(folder, 'errors')] as const
    const files = await Promise.all(paths.map((path) => open(path, 'w')))
    const text = `set -euo pipefail\n${here(script)}\n`
    const child = spawn('bash', ['-c', text], {
      cwd: folder,
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', files[0]!.fd, files[1]!.fd],
      timeout: TIMEOUT_MS,
    })
    const [code] = await once(child, 'close')
    await Promise.all(files.map((file) => file.close()))
    const [output, errors] = (await Promise.all(paths.map((path) => readFile(path, 'utf8')))) as [string, string]
    expect(code, `${text}\n${output}\n${errors}`).toBe(0)
    return { output, errors }
  }

  function here(script: string): string {
    return script
      .replaceAll('http://127.0.0.1:8080', castor.api)
      .replaceAll('http://127.0.0.1:8081', castor.deviceHttp)
      .replaceAll('-p 1883', `-p ${castor.mqttPort}`)
  }
})

function examplesOf(page: string): string[] {
  return blocksOf(textOf(page), 'sh')
}

function blocksOf(text: string, language: string): string[] {
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].filter(([, kind]) => kind === language).map(([, , block]) => block!)
}

/** From a heading of the second level to the next. */
function section(page: string, title: string): string {
  return textOf(page).split(`\n## ${title}\n`)[1]!.split('\n## ')[0]!
}
