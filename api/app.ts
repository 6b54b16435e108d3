/**
 * REST: the application, without a server. Everything that it needs comes in by name; infra/processes/api.ts gives it the real things.
 * What /openapi.json says is generated from the schemas that parse, and stands in docs/openapi.json.
 */
import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { Logger } from 'pino'
import { CastorError } from '../twin-models/errors.ts'
import type { Alarms } from './alarm-ports.ts'
import type { Commands } from './command-ports.ts'
import type { DirectorKeys, FirmwareRows, FirmwareStore, ReleaseKeys } from './firmware-ports.ts'
import type { Groups } from './group-ports.ts'
import { alarmEndpoints } from './http/alarms.ts'
import { createAuthenticate } from './http/authenticate.ts'
import { bulkChangeEndpoints } from './http/bulk-changes.ts'
import { commandListEndpoints } from './http/command-lists.ts'
import { commandEndpoints } from './http/commands.ts'
import { deadLetterEndpoints } from './http/dead-letters.ts'
import { desiredEndpoints } from './http/desired.ts'
import { deviceEndpoints } from './http/devices.ts'
import { docsPage } from './http/docs-page.ts'
import { COMMON_HEADERS, createEndpoints, refusal, requestIdOf } from './http/endpoint.ts'
import { eventTypeEndpoints } from './http/event-types.ts'
import { firmwareEndpoints } from './http/firmware.ts'
import { groupEndpoints } from './http/groups.ts'
import { historyEndpoints } from './http/history.ts'
import { maintenanceEndpoints } from './http/maintenance.ts'
import { modelEndpoints } from './http/models.ts'
import { noticeEndpoints } from './http/notices.ts'
import { predictionModelEndpoints } from './http/prediction-models.ts'
import { predictionEndpoints } from './http/predictions.ts'
import { createRateLimit, type RateLimitPolicy } from './http/rate-limit.ts'
import { releaseKeyEndpoints } from './http/release-keys.ts'
import { requestEndpoints } from './http/requests.ts'
import { rolloutActionEndpoints } from './http/rollout-actions.ts'
import { rolloutDeviceEndpoints } from './http/rollout-devices.ts'
import { rolloutEndpoints } from './http/rollouts.ts'
import { ruleActionEndpoints } from './http/rule-actions.ts'
import { ruleTestEndpoints } from './http/rule-tests.ts'
import { ruleEndpoints } from './http/rules.ts'
import { streamEndpoint } from './http/stream.ts'
import { createStrongRead } from './http/strong-read.ts'
import { systemEndpoints } from './http/system.ts'
import { targetSteeringEndpoints } from './http/target-steering.ts'
import { targetEndpoints } from './http/targets.ts'
import { telemetryEndpoints } from './http/telemetry.ts'
import { ticketActionEndpoints } from './http/ticket-actions.ts'
import { ticketExternalEndpoints } from './http/ticket-external.ts'
import { ticketLinkPages } from './http/ticket-links.ts'
import { ticketEndpoints } from './http/tickets.ts'
import { createTwinAnswers } from './http/twin-answers.ts'
import { twinEndpoints } from './http/twins.ts'
import { updateEndpoints } from './http/updates.ts'
import { webhookDeliveryEndpoints } from './http/webhook-deliveries.ts'
import { webhookSteeringEndpoints } from './http/webhook-steering.ts'
import { webhookEndpoints } from './http/webhooks.ts'
import type { Live } from './live/live-request.ts'
import type { Mailer, SendNotices } from './notify/ports.ts'
import type { Notices, Targets } from './notify-ports.ts'
import type { ApiKeys, BulkChanges, DeadLetters, History, Models, Registry, Status, TwinRequests, Twins, TwinWorkflows } from './ports.ts'
import type { PredictionModels, Predictions, PredictionTester } from './prediction-ports.ts'
import type { Rollouts } from './rollout-ports.ts'
import type { RuleActions } from './rule-action-ports.ts'
import type { RuleHistory, Rules } from './rule-ports.ts'
import type { TicketLinks, Tickets } from './ticket-ports.ts'
import type { Updates } from './update-ports.ts'
import type { WebhookSender, Webhooks } from './webhook-ports.ts'

export interface AppDeps {
  registry: Registry
  twins: Twins
  history: History
  deadLetters: DeadLetters
  requests: TwinRequests
  commands: Commands
  alarms: Alarms
  workflows: TwinWorkflows
  apiKeys: ApiKeys
  models: Models
  live: Live
  bulkChanges: BulkChanges
  webhooks: Webhooks
  webhookSender: WebhookSender
  firmware: FirmwareRows
  firmwareStore: FirmwareStore
  releaseKeys: ReleaseKeys
  directorKeys: DirectorKeys
  groups: Groups
  updates: Updates
  rollouts: Rollouts
  rules: Rules
  ruleHistory: RuleHistory
  ruleActions: RuleActions
  predictionModels: PredictionModels
  predictions: Predictions
  predictionTester: PredictionTester
  targets: Targets
  notices: Notices
  mailer: Pick<Mailer, 'refusal'>
  sendNotices: SendNotices
  tickets: Tickets
  ticketLinks: TicketLinks
  status: Status
  log: Logger
  now?: () => number
  /** How long a twin's answer is waited for, where the request does not say. */
  twinWaitMs?: number
  limits?: {
    requests?: RateLimitPolicy
    strong?: RateLimitPolicy
    webhookTests?: RateLimitPolicy
    ruleTests?: RateLimitPolicy
    predictionTests?: RateLimitPolicy
    targetTests?: RateLimitPolicy
  }
}

/** Generous: it stops a program that runs away, not one that works. */
const REQUESTS: RateLimitPolicy = { name: 'requests', quota: 100_000, windowSeconds: 10 }
/** Each costs a decision of Temporal, and all twins together have some hundreds a second. */
const STRONG: RateLimitPolicy = { name: 'strong', quota: 200, windowSeconds: 10 }
/** Each is a request to somewhere else. */
const WEBHOOK_TESTS: RateLimitPolicy = { name: 'webhook-tests', quota: 20, windowSeconds: 10 }
/** Each reads up to some hundred thousand rows. */
const RULE_TESTS: RateLimitPolicy = { name: 'rule-tests', quota: 20, windowSeconds: 10 }
const PREDICTION_TESTS: RateLimitPolicy = { name: 'prediction-tests', quota: 20, windowSeconds: 10 }
const TARGET_TESTS: RateLimitPolicy = { name: 'target-tests', quota: 10, windowSeconds: 60 }
const TWIN_WAIT_MS = 5_000

export function createApp(deps: AppDeps): OpenAPIHono {
  const { log, now = Date.now } = deps
  const app = new OpenAPIHono()
  const methods = new Map<string, string[]>()
  const authenticate = createAuthenticate(deps.apiKeys, now)
  const endpoint = createEndpoints({
    app,
    authenticate,
    limit: createRateLimit(deps.limits?.requests ?? REQUESTS, now),
    log,
    methods,
  })
  const waitMs = deps.twinWaitMs ?? TWIN_WAIT_MS
  const answers = createTwinAnswers(deps.requests)
  const strongRead = createStrongRead({ ...deps, answers, waitMs })

  twinEndpoints(endpoint, { ...deps, now, strongRead, strongLimit: createRateLimit(deps.limits?.strong ?? STRONG, now) })
  desiredEndpoints(endpoint, { ...deps, answers, waitMs })
  telemetryEndpoints(endpoint, deps)
  historyEndpoints(endpoint, deps)
  commandEndpoints(endpoint, { ...deps, now, answers, waitMs })
  commandListEndpoints(endpoint, deps)
  alarmEndpoints(endpoint, { ...deps, now, answers, waitMs })
  maintenanceEndpoints(endpoint, { ...deps, now, answers, waitMs })
  deviceEndpoints(endpoint, deps)
  deadLetterEndpoints(endpoint, deps)
  modelEndpoints(endpoint, deps)
  requestEndpoints(endpoint, deps)
  bulkChangeEndpoints(endpoint, deps)
  firmwareEndpoints(endpoint, { ...deps, now })
  releaseKeyEndpoints(endpoint, deps)
  groupEndpoints(endpoint, deps)
  rolloutEndpoints(endpoint, { ...deps, now })
  rolloutDeviceEndpoints(endpoint, deps)
  rolloutActionEndpoints(endpoint, { ...deps, now })
  ticketEndpoints(endpoint, deps)
  ticketActionEndpoints(endpoint, { ...deps, now })
  ticketExternalEndpoints(endpoint, { ...deps, now })
  updateEndpoints(endpoint, { ...deps, now, answers, waitMs })
  ruleEndpoints(endpoint, deps)
  ruleTestEndpoints(endpoint, { ...deps, now, testLimit: createRateLimit(deps.limits?.ruleTests ?? RULE_TESTS, now) })
  const predictionLimit = createRateLimit(deps.limits?.predictionTests ?? PREDICTION_TESTS, now)
  predictionModelEndpoints(endpoint, { ...deps, testLimit: predictionLimit })
  predictionEndpoints(endpoint, { ...deps, waitMs })
  webhookEndpoints(endpoint, { ...deps, now })
  const testLimit = createRateLimit(deps.limits?.webhookTests ?? WEBHOOK_TESTS, now)
  webhookSteeringEndpoints(endpoint, { ...deps, now, testLimit })
  webhookDeliveryEndpoints(endpoint, deps)
  targetEndpoints(endpoint, { ...deps, now })
  targetSteeringEndpoints(endpoint, { ...deps, now, testLimit: createRateLimit(deps.limits?.targetTests ?? TARGET_TESTS, now) })
  noticeEndpoints(endpoint, deps)
  eventTypeEndpoints(endpoint)
  ruleActionEndpoints(endpoint, deps)
  streamEndpoint(endpoint, { live: deps.live, authenticate })
  systemEndpoints(app, methods, deps.status)
  ticketLinkPages(app, methods, { tickets: deps.tickets, ticketLinks: deps.ticketLinks, log, now })
  docsPage(app)
  refuseTheRest(app, methods, log)
  return app
}

/**
 * A known path with another method is 405 and says which there are; all else is 404. Looked at only when no endpoint took the request: as
 * routes of their own they would make every request pass a chain of handlers.
 */
function refuseTheRest(app: OpenAPIHono, methods: Map<string, string[]>, log: Logger): void {
  const refuse = (error: unknown, c: Context, headers: Record<string, string> = {}) => {
    const reply = refusal(error, { ...COMMON_HEADERS, 'x-request-id': requestIdOf(c), ...headers }, log)
    return new Response(reply.body, reply)
  }
  const paths = [...methods].map(([path, known]) => ({
    pattern: new RegExp(`^${path.replace(/[.]/g, '\\.').replace(/:\w+/g, '[^/]+')}$`),
    allow: known.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', '),
  }))
  app.notFound((c) => {
    const allow = paths.find(({ pattern }) => pattern.test(c.req.path))?.allow
    if (allow === undefined) return refuse(new CastorError('not-found', 'There is nothing at this path. /docs has all that is there.'), c)
    return refuse(new CastorError('method-not-allowed', `This path knows ${allow}.`), c, { allow })
  })
  app.onError((error, c) => refuse(error, c))
}
