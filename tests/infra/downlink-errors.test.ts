/** What was wrong with messages of devices that speak HTTP: found in what is pending, until it was seen. */
import { describe, expect, test } from 'vitest'
import { NO_STREAM } from '../../api/ingest/log.ts'
import { ERRORS_CHANNEL } from '../../infra/postgres/announcer.ts'
import { takeDeviceErrors } from '../../infra/postgres/device-auth.ts'
import { messagesOf, type TestDevice, wish } from '../support/bridge.ts'
import { bridgeOfFile } from '../support/pending.ts'
import { until } from '../support/wait.ts'

const on = bridgeOfFile('e')
const { newDevice } = on

/** As the processor leaves it. */
async function refused({ incarnation }: TestDevice, code: string, { stream = NO_STREAM, minutesAgo = 0 } = {}): Promise<void> {
  await on.sql`
    insert into device_errors (stream, incarnation, body, at)
    values (${stream}, ${incarnation}, ${JSON.stringify({ code, count: 1 })}, now() - make_interval(mins => ${minutesAgo}::int))`
}

interface Asked {
  status: number
  etag: string
  /** Their codes. Undefined: the answer has none. */
  errors: string[] | undefined
  body: { desired?: object; errors?: Array<{ code: string }> } | undefined
}

async function ask(device: TestDevice, { wait = 0, etag = '' } = {}): Promise<Asked> {
  const answer = await fetch(`${on.bridge.url}/device/v1/pending?wait=${wait}`, {
    headers: { authorization: `Bearer ${device.token}`, ...(etag !== '' && { 'if-none-match': etag }) },
    signal: on.leaving,
  })
  const text = await answer.text()
  const body: Asked['body'] = text === '' ? undefined : JSON.parse(text)
  return { status: answer.status, etag: answer.headers.get('etag') ?? '', errors: body?.errors?.map(({ code }) => code), body }
}

const waits = ({ incarnation }: TestDevice, times: number) =>
  until(async () => (await messagesOf(on.sql, incarnation, 'get')).length === times, 'the device to wait')
const announceErrors = ({ incarnation }: TestDevice) => on.sql`select pg_notify(${ERRORS_CHANNEL}, ${String(incarnation)})`

describe('errors in what is pending', () => {
  test('stand there as on the topic, in their order, beside what is pending else', async () => {
    const device = await newDevice()
    await refused(device, 'wrong-type')
    await refused(device, 'too-old')
    expect((await ask(device)).body).toEqual({
      serverTime: expect.any(String),
      commands: [],
      cancels: [],
      errors: [
        { code: 'wrong-type', count: 1 },
        { code: 'too-old', count: 1 },
      ],
    })
    await wish(on.sql, device)
    expect((await ask(device)).body).toMatchObject({ desired: { version: 1 }, errors: [{ code: 'wrong-type' }, { code: 'too-old' }] })
  })

  test('come until the device sends the ETag of an answer that had them, and later ones without them', async () => {
    const device = await newDevice()
    const nothing = await ask(device)
    await refused(device, 'one')
    const first = await ask(device, { etag: nothing.etag })
    expect([first.status, first.errors]).toEqual([200, ['one']])
    // The answer was lost: it asks with the old tag, or with none.
    expect((await ask(device, { etag: nothing.etag })).errors).toEqual(['one'])
    expect((await ask(device)).errors).toEqual(['one'])
    for (let n = 0; n < 2; n++) expect(await ask(device, { etag: first.etag })).toMatchObject({ status: 304, etag: first.etag })
    await refused(device, 'two')
    const second = await ask(device, { etag: first.etag })
    expect([second.status, second.errors]).toEqual([200, ['two']])
    await wish(on.sql, device)
    const third = await ask(device, { etag: second.etag })
    expect([third.errors, third.body]).toMatchObject([undefined, { desired: { version: 1 } }])
    expect(await ask(device, { etag: third.etag })).toMatchObject({ status: 304 })
  })

  test('that expire are no news', async () => {
    const device = await newDevice()
    await refused(device, 'one')
    const { etag } = await ask(device)
    await on.sql`delete from device_errors where incarnation = ${device.incarnation}`
    expect(await ask(device, { etag })).toMatchObject({ status: 304, etag })
    expect((await ask(device)).status).toBe(204)
  })

  test('are the newest ten of the last ten minutes, and not those for a connection', async () => {
    const [device, other] = [await newDevice(), await newDevice()]
    await refused(device, 'old', { minutesAgo: 11 })
    await refused(device, 'connected', { stream: 1_000_000 })
    await refused(other, 'another')
    expect((await ask(device)).status).toBe(204)
    for (let n = 1; n <= 12; n++) await refused(device, `n-${n}`, { minutesAgo: 9 })
    expect((await ask(device)).errors).toEqual(Array.from({ length: 10 }, (_, i) => `n-${i + 3}`))
  })

  test('wake a device that waits, with an ETag or without', async () => {
    const device = await newDevice()
    const nothing = await ask(device)
    let known = ''
    for (const etag of ['', nothing.etag]) {
      const waiting = ask(device, { wait: 60, etag: known || etag })
      await waits(device, etag === '' ? 2 : 3)
      await refused(device, 'late')
      await announceErrors(device)
      const answer = await waiting
      expect([answer.status, answer.errors?.at(-1)]).toEqual([200, 'late'])
      known = answer.etag
    }
  })

  test('are found by themselves, when nobody told of them', async () => {
    const device = await newDevice()
    const waiting = ask(device, { wait: 60 })
    await waits(device, 1)
    await refused(device, 'quiet')
    expect((await waiting).errors).toEqual(['quiet'])
  })

  test('end a wait once for a device that sends no ETags, and then stand at its end', async () => {
    const device = await newDevice()
    await refused(device, 'one')
    expect((await ask(device, { wait: 60 })).errors).toEqual(['one'])
    const started = performance.now()
    expect((await ask(device, { wait: 1 })).errors).toEqual(['one'])
    expect(performance.now() - started).toBeGreaterThan(990)
  })

  test('are left alone by bridges that take words for their connections', async () => {
    const device = await newDevice()
    await refused(device, 'mine')
    await refused(device, 'theirs', { stream: 2_000_000 })
    expect(await takeDeviceErrors(on.sql, 2_000_000, 10)).toMatchObject([{ body: expect.stringContaining('theirs') }])
    expect((await ask(device)).errors).toEqual(['mine'])
  })

  test('are not hidden by tags that nobody gave, and are by *', async () => {
    const device = await newDevice()
    await refused(device, 'one')
    for (const etag of ['W/"x.1", nonsense', '"AAAAAAAAAAAAAAAAAAAAAA.9999999999999999"', 'W/"AAAAAAAAAAAAAAAAAAAAAA"'])
      expect((await ask(device, { etag })).errors).toEqual(['one'])
    expect(await ask(device, { etag: '*' })).toMatchObject({ status: 304 })
  })
})
