/** REST in process, on a database of its own with two tenants. Only the workflow and the status of other processes are stand-ins. */
import { hash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { type AppDeps, createApp } from '../../api/app.ts'
import { LiveStreams } from '../../api/live/live.ts'
import type { Mailer } from '../../api/notify/ports.ts'
import { createSend } from '../../api/notify/send.ts'
import type { TwinWorkflows } from '../../api/ports.ts'
import { createFolderStore } from '../../infra/firmware/folder-store.ts'
import { createPredictionTester } from '../../infra/inference/tester.ts'
import { createAlarms } from '../../infra/postgres/alarms.ts'
import { ensureAdminKey, findApiKey } from '../../infra/postgres/api-keys.ts'
import { createBulkChanges } from '../../infra/postgres/bulk-read.ts'
import { createCommands } from '../../infra/postgres/commands.ts'
import { connect } from '../../infra/postgres/connect.ts'
import { findDeadLetter, listDeadLetters } from '../../infra/postgres/dead-letters.ts'
import { listDirectorKeys } from '../../infra/postgres/director-keys.ts'
import { createFirmware } from '../../infra/postgres/firmware.ts'
import { createGroups } from '../../infra/postgres/groups.ts'
import { readDecisions } from '../../infra/postgres/history.ts'
import { postgresLiveStore } from '../../infra/postgres/live-log.ts'
import { createNotices } from '../../infra/postgres/notices.ts'
import { ensurePartitions } from '../../infra/postgres/partitions.ts'
import { createPredictionModels } from '../../infra/postgres/prediction-models.ts'
import { createPredictions } from '../../infra/postgres/predictions.ts'
import { createRegistry } from '../../infra/postgres/registry.ts'
import { createReleaseKeys } from '../../infra/postgres/release-keys.ts'
import { answeredRequests, findRequest, insertRequest } from '../../infra/postgres/requests.ts'
import { createRollouts } from '../../infra/postgres/rollout-read.ts'
import { createRuleActions } from '../../infra/postgres/rule-actions.ts'
import { createRuleHistory } from '../../infra/postgres/rule-history.ts'
import { createRules } from '../../infra/postgres/rules.ts'
import { createTargets } from '../../infra/postgres/targets.ts'
import { readTelemetry } from '../../infra/postgres/telemetry-read.ts'
import { findTicketLink } from '../../infra/postgres/ticket-links.ts'
import { createTickets } from '../../infra/postgres/ticket-read.ts'
import { createTwins } from '../../infra/postgres/twins.ts'
import { createUpdates } from '../../infra/postgres/updates.ts'
import { createWebhooks } from '../../infra/postgres/webhooks.ts'
import { listModels, modelOf } from '../../twin-models/devices/index.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'

export const DEMO_KEY = 'demo-key-0123456789'
export const OTHER_KEY = 'other-key-0123456789'

export interface Answer {
  status: number
  headers: Headers
  text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  json: any
}

export interface TestApi {
  database: TestDatabase
  /** `body` other than text is sent as JSON. */
  ask(method: string, path: string, options?: { key?: string | null; body?: unknown; headers?: Record<string, string> }): Promise<Answer>
  /** Registers one and gives its incarnation and token. */
  register(id: string, attributes?: object, key?: string, model?: string): Promise<{ incarnation: number; token: string }>
  app: ReturnType<typeof createApp>
  /** Of its own; `firmware` is in it. */
  folder: string
  /** Another application over the same database. */
  with(overrides: Partial<AppDeps>): ReturnType<typeof createApp>
}

export async function testApi(overrides: Partial<AppDeps> = {}): Promise<TestApi> {
  const made = await testDatabase()
  const quick = connect(made.url, { max: 2, name: 'test searches', genericPlans: true })
  const { sql } = made
  const log = pino({ level: 'silent' })
  const models = { find: (name: string) => modelOf(name), list: listModels }
  const live = new LiveStreams({ store: postgresLiveStore(sql), models, log })
  const folder = await mkdtemp(join(tmpdir(), 'castor-api-'))
  const cleared = () => Promise.all([quick.end({ timeout: 1 }), live.stop(), rm(folder, { recursive: true, force: true })])
  const database = { ...made, drop: () => cleared().then(made.drop) }
  await ensureAdminKey(sql, DEMO_KEY)
  await sql`insert into tenants (tenant) values ('other')`
  await sql`insert into api_keys (key_hash, tenant, name) values (${hash('sha256', OTHER_KEY, 'buffer')}, 'other', 'admin')`
  await ensurePartitions(sql, new Date())

  const deps: AppDeps = {
    registry: createRegistry(sql),
    twins: createTwins(sql, quick),
    history: { readings: (query) => readTelemetry(sql, query), decisions: (query) => readDecisions(sql, query) },
    commands: createCommands(sql),
    alarms: createAlarms(sql),
    deadLetters: { list: (tenant, query) => listDeadLetters(sql, tenant, query), find: (tenant, id) => findDeadLetter(sql, tenant, id) },
    requests: {
      insert: (request) => insertRequest(sql, request),
      answered: (ids) => answeredRequests(sql, ids),
      find: (tenant, id) => findRequest(sql, tenant, id),
    },
    workflows: NO_WORKFLOWS,
    apiKeys: { find: (keyHash) => findApiKey(sql, keyHash) },
    models,
    live,
    bulkChanges: createBulkChanges(sql, (name) => modelOf(name)),
    webhooks: createWebhooks(sql),
    firmware: createFirmware(sql),
    firmwareStore: createFolderStore(join(folder, 'firmware')),
    releaseKeys: createReleaseKeys(sql),
    directorKeys: { list: () => listDirectorKeys(sql) },
    groups: createGroups(sql),
    updates: createUpdates(sql),
    rules: createRules(sql),
    ruleHistory: createRuleHistory(sql),
    rollouts: createRollouts(sql, sql),
    ruleActions: createRuleActions(sql),
    predictionModels: createPredictionModels(sql),
    predictions: createPredictions(sql),
    predictionTester: createPredictionTester({ sql, outbound: NO_NETWORK, models: modelOf }),
    webhookSender: { refusal: () => undefined, post: NO_NETWORK.ask },
    targets: createTargets(sql),
    notices: createNotices(sql),
    mailer: NO_MAILER,
    sendNotices: createSend({ sender: { post: NO_NETWORK.ask }, mailer: NO_MAILER, publicUrl: 'http://127.0.0.1:8080' }),
    tickets: createTickets(sql),
    ticketLinks: { find: (tokenHash) => findTicketLink(sql, tokenHash) },
    status: { readyAll: async () => ({ ready: true, processes: { api: true } }), metricsAll: async () => 'castor_up 1\n' },
    log,
    ...overrides,
  }
  const app = createApp(deps)

  const ask: TestApi['ask'] = async (method, path, { key = DEMO_KEY, body, headers = {} } = {}) => {
    const text = body === undefined || typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
    const response = await app.request(path, {
      method,
      ...(text !== undefined && { body: text as string }),
      headers: {
        ...(key !== null && { authorization: `Bearer ${key}` }),
        ...(text !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
    })
    const answered = await response.text()
    const isJson = response.headers.get('content-type')?.includes('json')
    return {
      status: response.status,
      headers: response.headers,
      text: answered,
      json: isJson && answered !== '' ? JSON.parse(answered) : undefined,
    }
  }

  return {
    database,
    app,
    folder,
    with: (changes) => createApp({ ...deps, ...changes }),
    ask,
    async register(id, attributes = {}, key = DEMO_KEY, model = 'thermostat') {
      const made = await ask('POST', '/v1/devices', { key, body: { id, model, attributes } })
      if (made.status !== 201) throw new Error(made.text)
      const [row] = await sql<Array<{ incarnation: number }>>`
        select incarnation from devices where token_hash = ${hash('sha256', made.json.token, 'buffer')}`
      return { incarnation: row!.incarnation, token: made.json.token }
    },
  }
}

const NO_NETWORK = { refusal: () => undefined, ask: async () => ({ ms: 0, error: 'there is no network here' }) }
const NO_MAILER: Mailer = { refusal: () => undefined, send: NO_NETWORK.ask }
const NO_WORKFLOWS: TwinWorkflows = { query: async () => undefined }

/** Every id of a list, page by page. `between` runs after each page. */
export async function allItems(
  api: TestApi,
  path: string,
  between: (page: number) => Promise<void> = async () => {},
): Promise<Answer['json'][]> {
  const items: unknown[] = []
  let cursor: string | null = null
  for (let page = 0; page < 1000; page++) {
    const { status, json, text } = await api.ask('GET', cursor === null ? path : `${path}${path.includes('?') ? '&' : '?'}cursor=${cursor}`)
    if (status !== 200) throw new Error(text)
    items.push(...json.items)
    cursor = json.next
    if (cursor === null) return items
    await between(page)
  }
  throw new Error('the list does not end')
}
