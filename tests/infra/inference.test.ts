/** Asking model servers: the reference server as it is, and servers that are slow, broken or wrong, over real connections. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ServedModel } from '../../activities/prediction-ports.ts'
import { createOutbound, type OutboundOptions } from '../../infra/http/outbound.ts'
import { createInference, type InferenceOptions } from '../../infra/inference/client.ts'
import { OPENS_AFTER } from '../../twin-models/core/delivery.ts'
import { inference, type ModelServer, modelSettings, type PlayedServer, playedServer, referenceServer } from '../support/model-servers.ts'

const ID = '0d9f0a5e-6f0e-4d1c-9a3b-3b1f2f1c7a11'
const FEATURES = { vibration: 3.9, vibrationChange: 0.4, temperature: 58 }
const closing: Array<() => void> = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

function outbound(options: Partial<OutboundOptions> = {}) {
  const made = createOutbound({ process: 'worker', what: 'requests for predictions', allowPrivate: true, allowNetworks: [], ...options })
  closing.push(() => made.close())
  return made
}

/** Waits are noted, and not waited for. */
function client(options: Partial<InferenceOptions> = {}) {
  const waits: number[] = []
  const wait = async (ms: number) => void waits.push(ms)
  return { ...createInference({ outbound: outbound(), random: () => 0.5, wait, ...options }), waits }
}

function served(url: string, more: object = {}, bearer: string | null = null): ServedModel {
  const { auth: _, ...settings } = modelSettings(url, more)
  return { tenant: 'demo', name: 'pump-failure', settings, bearer }
}

describe('the reference server', () => {
  let server: ModelServer
  beforeAll(async () => {
    server = await referenceServer()
  })
  afterAll(() => server?.stop())

  test('answers with a probability, why, and its version', async () => {
    const worn = await client().predict(served(server.url), FEATURES, ID)
    expect(worn).toEqual({
      ...{ kind: 'answered', ms: expect.any(Number), horizonMs: 48 * 3_600_000, modelVersion: '1' },
      probability: expect.closeTo(0.87, 3),
      explanation: 'vibration 3.9 mm/s (+4.8), temperature 58 °C (+1.3)',
    })
    const well = await client().predict(served(server.url), { vibration: 1.3, vibrationChange: 0, temperature: 42 }, ID)
    expect(well).toMatchObject({ kind: 'answered', probability: expect.closeTo(0.007, 2), explanation: 'nothing stands out' })
  })

  test.each([
    ['a version that it has', { version: '1' }],
    ['numbers of 32 bits', { datatype: 'FP32' }],
    ['no explanation wanted', { output: { probability: 'probability' } }],
    ['a base with a slash at its end', {}],
  ])('is asked with %s', async (_, more) => {
    const answer = await client().predict(served(`${server.url}/`, more), FEATURES, ID)
    expect(answer).toMatchObject({ kind: 'answered', modelVersion: '1' })
    if ('output' in more) expect(answer).toMatchObject({ explanation: null })
  })

  test.each([
    ['a model that it has not', { model: 'fan-failure' }, 'The server answered 404: There is no model fan-failure: there is pump-failure.'],
    ['a version that it has not', { version: '9' }, 'The server answered 404: The model pump-failure has no version 9: it has 1.'],
    ['a tensor of another name', { tensor: 'x' }, 'The server answered 400: The model takes one tensor, features, and was given x.'],
    [
      'a tensor for each input',
      { tensor: undefined },
      'The server answered 400: The model takes one tensor, features, and was given vibration, vibrationChange, temperature.',
    ],
    [
      'an output that it has not',
      { output: { probability: 'risk' } },
      'The server answered 400: There is no output risk: there are probability, explanation.',
    ],
  ])('refuses %s at once, in words', async (_, more, error) => {
    const asking = client()
    expect(await asking.predict(served(server.url, more), FEATURES, ID)).toEqual({ kind: 'failed', ms: expect.any(Number), error })
    expect(asking.waits).toEqual([])
  })

  test('refuses too few features', async () => {
    const answer = await client().predict(served(server.url), { vibration: 1 }, ID)
    expect(answer).toMatchObject({ error: 'The server answered 400: The shape of features must be [n, 3], with 1 to 1000 rows.' })
  })

  test('says what it is and what model it has', async () => {
    const look = await client().look(served(server.url))
    expect(look).toMatchObject({ ready: { ok: true }, metadata: { name: 'pump-failure', versions: ['1'], inputs: [{ name: 'features' }] } })
    const unknown = await client().look(served(server.url, { model: 'fan-failure' }))
    expect(unknown.metadata).toEqual({ problem: 'The server answered 404: There is no model fan-failure: there is pump-failure' })
  })

  test.each<[string, string, number, object]>([
    ['GET', '/v2', 200, { name: 'castor-reference', version: '1', extensions: [] }],
    ['GET', '/v2/health/live', 200, { live: true }],
    ['GET', '/v2/models/pump-failure/versions/1/ready', 200, { name: 'pump-failure', ready: true }],
    ['GET', '/v2/models/pump-failure/versions/2/ready', 404, { error: 'The model pump-failure has no version 2: it has 1' }],
    ['GET', '/v1/models', 404, { error: 'There is nothing at /v1/models' }],
  ])('answers %s %s with %i', async (method, path, status, body) => {
    const response = await fetch(`${server.url}${path}`, { method })
    expect([response.status, await response.json()]).toEqual([status, body])
  })

  test.each<[string, unknown, string]>([
    ['what is no JSON', '{', 'The request is not JSON'],
    ['no object', [], 'The request must be an object'],
    ['no tensor', { inputs: [] }, 'The model takes one tensor, features, and was given none'],
    ['texts', tensor({ datatype: 'BYTES' }), 'The datatype of features must be a numeric one'],
    ['too many values', tensor({ data: [1, 2, 3, 4] }), 'features has 4 values, where its shape means 3'],
    ['no numbers', tensor({ data: [1, 2, 'x'] }), 'The data of features must be numbers'],
    ['too many rows', tensor({ shape: [1_001, 3] }), 'The shape of features must be [n, 3], with 1 to 1000 rows'],
  ])('refuses %s with 400', async (_, body, error) => {
    const response = await fetch(`${server.url}/v2/models/pump-failure/infer`, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
    expect([response.status, await response.json()]).toEqual([400, { error }])
  })

  test('answers several rows, flat or nested, and gives the id back', async () => {
    const rows = [1.3, 0, 42, 4.3, 0.5, 60]
    for (const data of [rows, [rows.slice(0, 3), rows.slice(3)]]) {
      const body = JSON.stringify({ id: '42', ...(tensor({ shape: [2, 3], data }) as object), outputs: [{ name: 'probability' }] })
      const response = await fetch(`${server.url}/v2/models/pump-failure/infer`, { method: 'POST', body })
      const [low, high] = [expect.closeTo(0.007, 2), expect.closeTo(0.95, 1)]
      expect(await response.json()).toEqual({
        ...{ model_name: 'pump-failure', model_version: '1', id: '42' },
        outputs: [{ name: 'probability', datatype: 'FP64', shape: [2], data: [low, high] }],
      })
    }
    const large = await fetch(`${server.url}/v2/models/pump-failure/infer`, { method: 'POST', body: 'x'.repeat(1_048_577) })
    expect(large.status).toBe(413)
  })
})

function tensor(more: object): unknown {
  return { inputs: [{ name: 'features', datatype: 'FP64', shape: [1, 3], data: [1, 2, 3], ...more }] }
}

describe('a server', () => {
  let server: PlayedServer
  beforeEach(async () => {
    server = await playedServer()
  })
  afterEach(() => server?.stop())

  test('is sent one tensor with all inputs, or one for each, as the protocol has it', async () => {
    await client().predict(served(server.url, { version: '2' }, 'secret'), FEATURES, ID)
    await client().predict(
      served(server.url, { tensor: undefined, datatype: 'FP32', output: { probability: 'probability' } }),
      FEATURES,
      ID,
    )
    const [one, each] = server.requests.map(({ body }) => JSON.parse(body))
    expect(server.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /v2/models/pump-failure/versions/2/infer',
      'POST /v2/models/pump-failure/infer',
    ])
    expect(server.requests[0]!.headers).toMatchObject({ authorization: 'Bearer secret', 'content-type': 'application/json' })
    expect(server.requests[1]!.headers.authorization).toBeUndefined()
    expect(one).toEqual({
      id: ID,
      inputs: [{ name: 'features', shape: [1, 3], datatype: 'FP64', data: [3.9, 0.4, 58] }],
      outputs: [{ name: 'probability' }, { name: 'explanation' }],
    })
    expect(each.inputs[1]).toEqual({ name: 'vibrationChange', shape: [1, 1], datatype: 'FP32', data: [0.4] })
    expect(each.outputs).toEqual([{ name: 'probability' }])
  })

  const two = (data: unknown, shape = [1, 2]) => inference(0, { outputs: [{ name: 'probability', datatype: 'FP32', shape, data }] })
  test.each<[string, string, object, object]>([
    ['a column of a nested tensor', two([[0.2, 0.8]]), { output: { probability: 'probability', index: 1 } }, { probability: 0.8 }],
    ['a little more than 1, as 32 bits have it', inference(1.0000001), {}, { probability: 1 }],
    ['no version', inference(0.5, { model_version: undefined }), {}, { modelVersion: null }],
    ['no version, where one was asked', inference(0.5, { model_version: undefined }), { version: '3' }, { modelVersion: '3' }],
    ['texts that explain', explained(['first', 'second'], 'BYTES'), {}, { explanation: 'first; second' }],
    ['numbers that explain', explained([0.1, -0.7, 0.3]), {}, { explanation: 'vibrationChange -0.7, temperature 0.3, vibration 0.1' }],
    ['other numbers', explained([0.1]), {}, { explanation: null }],
    ['U+0000 in a text', explained(['a\u0000b'], 'BYTES'), {}, { explanation: 'a\uFFFDb' }],
    ['a long text', explained(['x'.repeat(9_000)], 'BYTES'), {}, { explanation: 'x'.repeat(2_000) }],
  ])('may answer with %s', async (_, body, more, expected) => {
    server.answer = (_request, response) => response.end(body)
    expect(await client().predict(served(server.url, more), FEATURES, ID)).toMatchObject({ kind: 'answered', ...expected })
  })

  test.each<[string, string, string]>([
    ['no JSON', '<html>', 'The answer is not JSON.'],
    [
      'NaN',
      '{"outputs":[{"name":"probability","datatype":"FP64","shape":[1],"data":[NaN]}]}',
      'The answer is not JSON: it holds NaN or Infinity.',
    ],
    ['null for NaN', inference(null), 'The output probability is no number but null (NaN, as many servers write it).'],
    ['a text', inference('0.5'), 'The output probability is no number but string.'],
    ['a score that is no probability', inference(3.2), 'The output probability is 3.2: a probability is from 0 to 1.'],
    ['a number below zero', inference(-0.1), 'The output probability is -0.1: a probability is from 0 to 1.'],
    ['no outputs', '{"outputs":[]}', 'The answer has no output probability: it has none.'],
    ['other outputs', two([1]).replace('probability', 'label'), 'The answer has no output probability: it has label.'],
    [
      'something else',
      '{"predictions":[0.5]}',
      'The answer is not one of the Open Inference Protocol: outputs: Invalid input: expected array, received undefined.',
    ],
    ['several values', two([0.2, 0.8]), 'The output probability has 2 values, where one is expected: an index says which it is.'],
    ['a shape that is not its own', two([0.2], [1, 3]), 'The output probability has 1 values, but its shape [1, 3] means 3.'],
    [
      'the answer to another request',
      inference(0.5, { id: 'other' }),
      'The answer is of another request: its id is not the one that was sent.',
    ],
  ])('that answers with %s has not answered, and is not asked again', async (_, body, error) => {
    server.answer = (_request, response) => response.end(body)
    const asking = client()
    expect(await asking.predict(served(server.url), FEATURES, ID)).toEqual({ kind: 'failed', ms: expect.any(Number), error })
    expect(server.requests).toHaveLength(1)
  })

  test('that has no value at the index says so', async () => {
    const answer = await client().predict(served(server.url, { output: { probability: 'probability', index: 4 } }), FEATURES, ID)
    expect(answer).toMatchObject({ error: 'The output probability has 1 values, so none of index 4.' })
  })

  test('whose answer is huge is cut off', async () => {
    let sent = 0
    server.answer = (_request, response) => {
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(65_536))) sent += 65_536
      }
      response.on('drain', more)
      more()
    }
    const answer = await client().predict(served(server.url), FEATURES, ID)
    expect(answer).toMatchObject({ error: 'The answer is larger than 262144 bytes.' })
    expect(sent).toBeLessThan(20_000_000)
    expect(server.requests).toHaveLength(1)
  })

  test.each<[string, PlayedServer['answer']]>([
    ['never answers', () => {}],
    [
      'stops in the middle of its answer',
      (_request, response) => void response.writeHead(200, { 'content-length': 1_000 }).write('{"outputs"'),
    ],
  ])('that %s is asked three times, each within the timeout of the model', async (_, answer) => {
    server.answer = answer
    const asking = client()
    const { kind, ms, ...rest } = await asking.predict(served(server.url, { timeout: '150ms' }), FEATURES, ID)
    expect([kind, rest]).toEqual(['failed', { error: expect.stringContaining('gave no answer within 0.15 s') }])
    expect(ms).toBeGreaterThanOrEqual(440)
    expect(server.requests).toHaveLength(3)
    expect(asking.waits).toEqual([300, 1_200])
  })

  test('that breaks the connection, or is busy, is asked again until it answers', async () => {
    const asking = client()
    const failures: Array<PlayedServer['answer']> = [
      (request) => request.socket.destroy(),
      (_request, response) => response.writeHead(429, { 'retry-after': '2' }).end(),
    ]
    server.answer = (request, response) => (failures.shift() ?? ((_, well) => well.end(inference(0.3))))(request, response)
    expect(await asking.predict(served(server.url), FEATURES, ID)).toMatchObject({ kind: 'answered', probability: 0.3 })
    expect(asking.waits[0]).toBe(300)
    // As long as it asks for.
    expect(asking.waits[1]).toBeGreaterThan(1_200)
    expect(asking.waits[1]).toBeLessThanOrEqual(2_000)
  })

  test('that wants to be left alone for long is not waited for', async () => {
    server.answer = (_request, response) => response.writeHead(503, { 'retry-after': '120' }).end('{"error":"loading the model"}')
    const answer = await client().predict(served(server.url), FEATURES, ID)
    expect(answer).toMatchObject({ kind: 'failed', error: 'The server answered 503: loading the model.' })
    expect(server.requests).toHaveLength(1)
  })

  test.each([500, 502, 504])('that answers %i is asked three times', async (status) => {
    server.answer = (_request, response) => response.writeHead(status).end('<html>')
    expect(await client().predict(served(server.url), FEATURES, ID)).toMatchObject({ error: `The server answered ${status}.` })
    expect(server.requests).toHaveLength(3)
  })

  test.each([401, 403, 404, 422])('that answers %i is asked once', async (status) => {
    server.answer = (_request, response) => response.writeHead(status).end('{"error":"no"}')
    expect(await client().predict(served(server.url), FEATURES, ID)).toMatchObject({ error: `The server answered ${status}: no.` })
    expect(server.requests).toHaveLength(1)
  })

  test('that sends us elsewhere is not followed', async () => {
    const other = await playedServer()
    server.answer = (_request, response) => response.writeHead(307, { location: other.url }).end()
    const answer = await client().predict(served(server.url), FEATURES, ID)
    expect(answer).toMatchObject({ error: 'The server answered 307: redirects are not followed.' })
    expect([server.requests.length, other.requests.length]).toEqual([1, 0])
    await other.stop()
  })

  test('in a private network is asked only where the platform allows it', async () => {
    const closed = outbound({ allowPrivate: false })
    const answer = await client({ outbound: closed }).predict(served('https://127.0.0.1'), FEATURES, ID)
    expect(answer).toMatchObject({
      kind: 'failed',
      error: expect.stringMatching(
        /^127\.0\.0\.1 is loopback: requests for predictions do not go there \(the worker goes by its CASTOR_WEBHOOK_ALLOW_PRIVATE/,
      ),
    })
    const moved = outbound({ allowPrivate: false, resolve: async () => ['169.254.169.254'] })
    const metadata = await client({ outbound: moved }).predict(served('https://models.example.com'), FEATURES, ID)
    expect(metadata).toMatchObject({ kind: 'failed', error: expect.stringContaining('models.example.com is not sent to: 169.254.169.254') })
    expect(closed.refusal(server.url)).toContain('Requests for predictions go over https only')
    expect(server.requests).toEqual([])
  })

  test('that is not ready says so when it is looked at', async () => {
    server.answer = (request, response) => {
      if (request.url === '/v2/health/ready') response.writeHead(503).end()
      else response.end('{"name":"m","inputs":[{"name":"x"}]}')
    }
    const look = await client().look(served(server.url, {}, 'secret'))
    expect(look.ready).toEqual({ ok: false, problem: 'The server answered 503' })
    expect(look.metadata).toEqual({ problem: expect.stringContaining('not one of the Open Inference Protocol: inputs.0.datatype') })
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer secret', 'Bearer secret'])
    server.answer = (_request, response) => response.end('{"live": false}')
    expect((await client().look(served(server.url))).ready).toEqual({ ok: false, problem: 'The server says that it is not ready' })
  })

  function explained(data: unknown[], datatype = 'FP32'): string {
    const outputs = [JSON.parse(inference(0.5)).outputs[0], { name: 'explanation', datatype, shape: [data.length], data }]
    return inference(0.5, { outputs })
  }

  describe('that fails too much', () => {
    let now: number
    let asking: ReturnType<typeof client>
    beforeEach(() => {
      now = Date.parse('2026-11-27T06:00:00Z')
      asking = client({ now: () => now })
      server.answer = (_request, response) => response.writeHead(500).end()
    })
    const predict = (model: ServedModel = served(server.url)) => asking.predict(model, FEATURES, ID)
    const open = async () => {
      while (server.requests.length < OPENS_AFTER) await predict()
    }

    test('is left alone, and predictions of it fail at once and say so', async () => {
      await open()
      expect(server.requests).toHaveLength(OPENS_AFTER)
      const answer = await predict()
      expect(answer).toMatchObject({
        kind: 'failed',
        error:
          'The server is left alone until 2026-11-27T06:00:05.000Z: 10 requests failed in a row since 2026-11-27T06:00:00.000Z; the last one: The server answered 500.',
      })
      expect(server.requests).toHaveLength(OPENS_AFTER)
    })

    test('is asked by one prediction now and then, and by all again when that goes well', async () => {
      await open()
      now += 6_000
      const answers: Array<() => void> = []
      server.answer = (_request, response) => answers.push(() => response.end(inference(0.4)))
      const probe = predict()
      await expect.poll(() => answers.length).toBe(1)
      expect(await predict()).toMatchObject({ kind: 'failed', error: expect.stringContaining('is left alone') })
      answers[0]!()
      expect(await probe).toMatchObject({ kind: 'answered' })
      server.answer = (_request, response) => response.end(inference(0.4))
      for (let n = 0; n < 3; n++) expect(await predict()).toMatchObject({ kind: 'answered' })
    })

    test('is left alone for longer when the probe fails too', async () => {
      await open()
      now += 6_000
      const answer = await predict()
      expect(server.requests).toHaveLength(OPENS_AFTER + 1)
      expect(answer).toMatchObject({
        error: expect.stringContaining('The server answered 500. The server is left alone until 2026-11-27T06:00:36'),
      })
    })

    test('fails for its tenant, and by what it is at fault for: a refusal is an answer', async () => {
      await open()
      server.answer = (_request, response) => response.end(inference(0.4))
      expect(await predict({ ...served(server.url), tenant: 'other' })).toMatchObject({ kind: 'answered' })

      const other = await playedServer()
      other.answer = (_request, response) => response.writeHead(404).end()
      for (let n = 0; n < 2 * OPENS_AFTER; n++) await predict(served(other.url))
      expect(other.requests).toHaveLength(2 * OPENS_AFTER)
      await other.stop()
    })

    test('is tried by who tests it all the same', async () => {
      await open()
      server.answer = (_request, response) => response.end(inference(0.4))
      expect(await asking.try(served(server.url), FEATURES, ID)).toMatchObject({ kind: 'answered' })
      expect(await predict()).toMatchObject({ kind: 'failed' })
    })
  })
})
