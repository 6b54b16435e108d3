/**
 * docs/webhooks.md as it stands there: its commands by bash, curl and openssl against a whole Castor, and its receivers in TypeScript and
 * Python, which Castor sends to. Only ports are put in their place.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startCastor, type TestCastor } from '../support/castor.ts'
import type { Json } from '../support/client.ts'
import { blocksOf, examplesOf, runBash, section } from '../support/examples.ts'
import { freePort } from '../support/free-port.ts'
import { missing, missingPythonPackage } from '../support/needs.ts'
import { until } from '../support/wait.ts'

const PAGE = 'docs/webhooks.md'
const PROJECT = join(import.meta.dirname, '../..')
const scripts = blocksOf(section(PAGE, 'A receiver in five minutes'), 'sh')
const [register, take, tryIt, verify, sign] = scripts as [string, string, string, string, string]

describe.skipIf(missing('bash', 'curl', 'openssl'))('the examples of webhooks (need bash, curl and openssl)', () => {
  let castor: TestCastor
  const undo: Array<() => unknown> = []
  beforeAll(async () => {
    castor = await startCastor({ env: { CASTOR_WEBHOOK_ALLOW_PRIVATE: 'true' } })
  })
  afterAll(() => castor?.stop())
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step()
  })

  test('are all here', () => {
    expect(scripts).toHaveLength(5)
    expect([examplesOf(PAGE, 'ts'), examplesOf(PAGE, 'python')].map(({ length }) => length)).toEqual([1, 1])
  })

  test('in TypeScript make a receiver that takes what Castor sends, once, and nothing else', async () => {
    const place = await newPlace()
    const receiver = await registered(place)
    await works(receiver, await inTypeScript(place, receiver))
  })

  test.skipIf(missingPythonPackage('standardwebhooks'))(
    'in Python make a receiver that takes what Castor sends, once, and nothing else (needs python3 with standardwebhooks)',
    async () => {
      const place = await newPlace()
      const receiver = await registered(place)
      await writeFile(join(place.folder, 'receiver.py'), receiver.here(examplesOf(PAGE, 'python')[0]!))
      await works(receiver, started(place.folder, receiver.env, 'python3', 'receiver.py'))
    },
  )

  test('with openssl verify a request as it came over the wire, and see one that was changed', async () => {
    const place = await newPlace()
    const captured = await capture(place.port)
    const receiver = await registered(place)
    await receiver.run(tryIt.split('\n')[0]!)
    const request = await captured.request
    await writeFile(join(place.folder, 'request.txt'), request)
    expect((await receiver.run(verify)).output).toBe('signed by Castor\n')
    await writeFile(join(place.folder, 'request.txt'), request.toString().replace('"demo"', '"domo"'))
    expect((await receiver.run(verify)).output).toBe('NOT signed by Castor\n')
    expect(headOf(request)).toEqual(headOf(Buffer.from(blocksOf(section(PAGE, 'What arrives'), 'http')[0]!)))
  })

  test('to send again and to rotate the secret do so, and the old secret is good until it ends', async () => {
    const place = await newPlace()
    const receiver = await registered(place)
    const { said } = await inTypeScript(place, receiver)
    await receiver.listens()
    const rotated = await answersOf(receiver, section(PAGE, 'A new secret, without a gap'))
    expect(rotated).toMatchObject([{ id: receiver.id, secret: expect.stringMatching(/^whsec_/), oldSecretUntil: expect.any(String) }])
    expect(rotated[0].secret).not.toBe(receiver.env.WEBHOOK_SECRET)
    await castor.register('t-rotated')
    await until(() => said().includes(' device.created t-rotated\n'), 'the receiver with the old secret has it')
    expect(await answersOf(receiver, section(PAGE, 'Sending again'))).toEqual([{ resent: 0, more: false }])
  })

  interface Place {
    folder: string
    port: number
  }

  /** A folder that has `.castor` as the project's has, and a port for the receiver. */
  async function newPlace(): Promise<Place> {
    const folder = await mkdtemp(join(tmpdir(), 'castor-webhook-examples-'))
    undo.push(() => rm(folder, { recursive: true, force: true }))
    await symlink(castor.dataDir, join(folder, '.castor'))
    return { folder, port: await freePort() }
  }

  type Receiver = Awaited<ReturnType<typeof registered>>

  async function registered({ folder, port }: Place) {
    const here = (text: string) => text.replaceAll('http://127.0.0.1:8080', castor.api).replaceAll('9000', String(port))
    const run = async (script: string) => {
      const ended = await runBash(folder, here(`[ ! -e webhook.json ] || { ${take}\n}\n${script}`))
      expect(ended.code, `${script}\n${ended.output}\n${ended.errors}`).toBe(0)
      return ended
    }
    const made = JSON.parse((await run(register)).output)
    undo.push(() => castor.rest('DELETE', `/v1/webhooks/${made.id}`))
    expect(JSON.parse(await readFile(join(folder, 'webhook.json'), 'utf8'))).toEqual(made)
    const { output } = await run('echo "$WEBHOOK $WEBHOOK_SECRET"')
    expect(output).toBe(`${made.id} ${made.secret}\n`)
    const url = `http://127.0.0.1:${port}/castor`
    const listens = () =>
      until(async () => (await fetch(url, { method: 'POST', body: '{}' })).status === 401, 'it listens, and takes not everything')
    return { id: made.id as string, url, env: { WEBHOOK_SECRET: made.secret as string }, here, run, listens }
  }

  async function inTypeScript({ folder }: Place, receiver: Receiver) {
    await writeFile(join(folder, 'receiver.mts'), receiver.here(examplesOf(PAGE, 'ts')[0]!))
    await mkdir(join(folder, 'node_modules'))
    await symlink(join(PROJECT, 'node_modules/standardwebhooks'), join(folder, 'node_modules/standardwebhooks'))
    return started(folder, receiver.env, process.execPath, 'receiver.mts')
  }

  function started(folder: string, env: Record<string, string>, ...[program, file]: [string, string]) {
    const child: ChildProcess = spawn(program, [file], {
      cwd: folder,
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    undo.push(async () => {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    })
    let text = ''
    for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk) => (text += chunk))
    return { said: () => text }
  }

  async function works(receiver: Receiver, { said }: { said: () => string }): Promise<void> {
    await receiver.listens().catch((cause) => expect.fail(`${cause}\n${said()}`))
    const [tested, made] = parsed((await receiver.run(tryIt)).output)
    expect(tested).toMatchObject({ type: 'device.created', outcome: 'delivered', attempt: { status: 204 } })
    undo.push(() => castor.rest('DELETE', `/v1/devices/${made.id}`))
    await until(() => said().includes(` device.created ${made.id}\n`), 'the receiver has what happened')
    expect(said()).toContain(`${tested.event} device.created t-1\n`)

    // One of its own making, twice: it is good both times, and counts once.
    for (const _ of [1, 2]) expect((await receiver.run(sign)).output).toMatch(/^HTTP\/1\.[01] 204 /)
    expect(said().match(/^evt_0 twin\.offline t-1$/gm)).toHaveLength(1)
    expect((await receiver.run(sign.replace('-d "$BODY"', '-d "$BODY "'))).output).toMatch(/^HTTP\/1\.[01] 401 /)
  }

  async function answersOf(receiver: Receiver, text: string): Promise<Json[]> {
    return parsed((await receiver.run(blocksOf(text, 'sh').join('\n'))).output)
  }

  /** Listens now; the bytes of the first request, which it answers. */
  async function capture(port: number): Promise<{ request: Promise<Buffer> }> {
    const server = createServer().listen(port, '127.0.0.1')
    await once(server, 'listening')
    undo.push(() => server.close())
    const request = once(server, 'connection').then(async ([socket]: Socket[]) => {
      let text = ''
      for await (const chunk of socket!) {
        text += chunk
        const [head = '', body] = text.split('\r\n\r\n')
        if (body !== undefined && Buffer.byteLength(body) >= Number(/content-length: (\d+)/i.exec(head)![1])) break
      }
      return Buffer.from(text)
    })
    return { request }
  }
})

/** curl ends no line, so one answer follows the other. */
function parsed(output: string): Json[] {
  return output
    .replaceAll('}{', '}\n{')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
}

/** Names of the headers, as they come. */
function headOf(request: Buffer): string[] {
  const [head = ''] = request.toString().replaceAll('\r', '').split('\n\n')
  return head.split('\n').map((line) => line.split(': ')[0]!)
}
