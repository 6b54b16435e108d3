/** A twin for REST without Temporal: the real core decides, the real decision store writes; only lanes and the workflow are played. */
import type { TwinRequest } from '../../api/ingest/lane-store.ts'
import { inputOf } from '../../api/ingest/requests.ts'
import { createDecisionStore } from '../../infra/postgres/decision-store.ts'
import { consume } from '../../twin-models/core/consume.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { TwinInput, TwinState } from '../../twin-models/core/types.ts'
import { wakeOf } from '../../twin-models/core/wake.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import { signJob } from '../support/director.ts'
import { until } from '../support/wait.ts'
import type { TestApi } from './test-api.ts'

export interface TestTwin {
  incarnation: number
  state: TwinState
  /** One decision on all that REST asked so far and then on `inputs`. */
  decide(...inputs: TwinInput[]): Promise<void>
  /** Decides whatever REST asks, as long as `work` takes. */
  during<T>(work: Promise<T>): Promise<T>
}

export async function testTwin(api: TestApi, device: string, model = 'thermostat'): Promise<TestTwin> {
  const { sql } = api.database
  const store = createDecisionStore(sql, { signJob })
  const { incarnation } = await api.register(device, {}, undefined, model)

  const twin: TestTwin = {
    incarnation,
    state: initialState(),
    async decide(...inputs) {
      const requests = await sql<Array<TwinRequest & { at: number }>>`
        update twin_requests set seq = ${twin.state.seq + 1} where incarnation = ${incarnation} and seq is null
        returning id, incarnation, lane, kind, body, floor(extract(epoch from created_at) * 1000)::float8 as at`
      await write([...requests.sort((a, b) => a.at - b.at).map((request) => inputOf(request, request.at)!), ...inputs])
    },
    async during(work) {
      let finished = false
      const done = work.finally(() => {
        finished = true
      })
      await until(async () => {
        const [waiting] = await sql`select from twin_requests where incarnation = ${incarnation} and seq is null limit 1`
        if (waiting) await twin.decide()
        return finished
      }, 'what REST was asked')
      return done
    },
  }

  async function write(inputs: TwinInput[]): Promise<void> {
    const from = twin.state
    const batch = { messages: 0, lastSeenAt: 0, merged: {}, inputs }
    const { state, events, answers, effects } = consume(from, { seq: from.seq + 1, batch }, inputs.at(-1)?.at ?? 0)
    const { outcome } = await store.write({
      tenant: 'demo',
      device,
      incarnation,
      expectedRevision: from.revision,
      seq: state.seq,
      state,
      events,
      answers,
      wake: wakeOf(state),
      ...(effects && { effects }),
    })
    if (outcome !== 'written') throw new Error(`the decision was not written: ${outcome}`)
    twin.state = state
  }

  await write([{ kind: 'configured', at: Date.now(), settings: modelOf(model)!.settings }])
  return twin
}
