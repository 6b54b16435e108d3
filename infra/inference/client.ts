/**
 * Asks model servers of the Open Inference Protocol v2: KServe, Triton, MLflow and others. Every request has the model's timeout, a bounded answer,
 * and goes only where webhooks may go too (infra/http/outbound.ts). What may pass is tried three times in all; a server that fails too much is
 * left alone for a while, and then predictions of it fail at once and say so.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Answer, Predictor, ServedModel } from '../../activities/prediction-ports.ts'
import { retryAfterOf } from '../../twin-models/core/delivery.ts'
import type { Features } from '../../twin-models/prediction/types.ts'
import { msOf } from '../../twin-models/schemas/prediction-model.ts'
import type { Answered, Outbound } from '../http/outbound.ts'
import { createBreakers } from './breakers.ts'
import { errorIn, type InferRequest, inferRequest, type ModelMetadata, modelUrl, readInference, readMetadata } from './protocol.ts'

export interface InferenceOptions {
  outbound: Pick<Outbound, 'ask' | 'refusal'>
  now?: () => number
  random?: () => number
  wait?: (ms: number) => Promise<unknown>
}

/** What the server says of itself and of the model, or why it does not. */
export interface ServerLook {
  ready: { ok: true } | { ok: false; problem: string }
  metadata: ModelMetadata | { problem: string }
}

export interface Inference extends Predictor {
  /** Once, whatever happened before, and counting for nothing. */
  try(model: ServedModel, features: Features, id: string): Promise<Answer>
  look(model: ServedModel): Promise<ServerLook>
}

/** After the first try, and the second; longer or shorter by up to half. */
const RETRY_WAITS_MS = [300, 1_200]
/** A server that wants to be left alone for longer is not waited for. */
const MOST_RETRY_AFTER_MS = 3_000
const MOST_BYTES = { answer: 262_144, metadata: 65_536, ready: 4_096 }

/** What came of one request: the answer, or why there is none. `passes`: it may go well another time. */
type Tried = { answer: string } | { problem: string; passes: boolean; until?: number }

export function createInference({ outbound, now = Date.now, random = Math.random, wait = pause }: InferenceOptions): Inference {
  const breakers = createBreakers(now, random)

  async function predict(model: ServedModel, features: Features, id: string): Promise<Answer> {
    const startedAt = performance.now()
    const request = inferRequest(model.settings, features, id)
    const tried = await patiently(model, () => infer(model, request))
    return answerOf(model, request, tried, startedAt)
  }

  async function patiently(model: ServedModel, attempt: () => Promise<Tried>): Promise<Tried> {
    let before: string | undefined
    for (let tries = 0; ; tries++) {
      const entry = breakers.enter(`${model.tenant} ${new URL(model.settings.url).origin}`)
      if ('refused' in entry) return { problem: before === undefined ? entry.refused : `${before}. ${entry.refused}`, passes: true }
      const tried = await attempt()
      const isTrouble = 'passes' in tried && tried.passes
      entry.end(isTrouble ? { kind: 'failed', reason: tried.problem, ...(tried.until && { until: tried.until }) } : { kind: 'delivered' })
      const ms = isTrouble ? waitAfter(tries, tried.until) : undefined
      if (!isTrouble || ms === undefined) return tried
      before = tried.problem
      await wait(ms)
    }
  }

  /** Undefined: it is not tried again. */
  function waitAfter(tries: number, until: number | undefined): number | undefined {
    const usual = RETRY_WAITS_MS[tries]
    if (usual === undefined) return undefined
    const asked = until === undefined ? 0 : until - now()
    return asked > MOST_RETRY_AFTER_MS ? undefined : Math.max(usual * (0.5 + random()), asked)
  }

  async function infer(model: ServedModel, request: InferRequest): Promise<Tried> {
    const url = `${modelUrl(model.settings)}/infer`
    const body = JSON.stringify(request)
    const headers = { ...headersOf(model), 'content-type': 'application/json' }
    return told(url, await outbound.ask({ method: 'POST', url, headers, body, ...limitsOf(model, MOST_BYTES.answer) }))
  }

  async function get(model: ServedModel, url: string, mostBytes: number): Promise<Tried> {
    return told(url, await outbound.ask({ method: 'GET', url, headers: headersOf(model), ...limitsOf(model, mostBytes) }))
  }

  function told(url: string, answered: Answered): Tried {
    if ('error' in answered) return { problem: answered.error, passes: outbound.refusal(url) === undefined }
    const { status, answer, missing } = answered
    if (status === 200 && missing === undefined) return { answer }
    if (status === 200) return { problem: missing!.detail, passes: missing!.why === 'end' }
    if (status >= 300 && status < 400) return { problem: `The server answered ${status}: redirects are not followed`, passes: false }
    const words = errorIn(answer)
    const until = retryAfterOf(answered.retryAfter, now())
    return {
      problem: `The server answered ${status}${words === undefined ? '' : `: ${words}`}`,
      passes: status === 429 || status >= 500,
      ...(until !== undefined && { until }),
    }
  }

  function answerOf({ settings }: ServedModel, request: InferRequest, tried: Tried, startedAt: number): Answer {
    const ms = Math.round(performance.now() - startedAt)
    const read = 'answer' in tried ? readInference(tried.answer, settings, request) : tried
    return 'problem' in read ? { kind: 'failed', ms, error: `${read.problem}.` } : { kind: 'answered', ms, ...read }
  }

  return {
    predict,
    async try(model, features, id) {
      const startedAt = performance.now()
      const request = inferRequest(model.settings, features, id)
      return answerOf(model, request, await infer(model, request), startedAt)
    },
    async look(model) {
      const [ready, metadata] = await Promise.all([
        get(model, `${model.settings.url}/v2/health/ready`, MOST_BYTES.ready),
        get(model, modelUrl(model.settings), MOST_BYTES.metadata),
      ])
      const read = 'answer' in metadata ? readMetadata(metadata.answer) : { problem: metadata.problem }
      return {
        ready: 'problem' in ready ? { ok: false, problem: ready.problem } : readyOf(ready.answer),
        metadata: 'value' in read ? read.value : { problem: read.problem },
      }
    },
  }
}

/** The status says it; some servers say it in words too. */
function readyOf(answer: string): ServerLook['ready'] {
  return /"(ready|live)"\s*:\s*false/.test(answer) ? { ok: false, problem: 'The server says that it is not ready' } : { ok: true }
}

function headersOf({ bearer }: ServedModel): Record<string, string> {
  return { accept: 'application/json', ...(bearer !== null && { authorization: `Bearer ${bearer}` }) }
}

function limitsOf({ settings }: ServedModel, mostBytes: number): { deadlineMs: number; mostBytes: number } {
  return { deadlineMs: msOf(settings.timeout), mostBytes }
}
