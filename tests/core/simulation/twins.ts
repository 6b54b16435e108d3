/** The side of the twins: how seals reach them through Temporal in miniature, and their activities on a store that may fail. */
import type { Decision, DecisionOutcome } from '../../../activities/ports.ts'
import type { TwinSignaller } from '../../../api/ingest/courier.ts'
import { type TwinKey, twinWorkflowId } from '../../../twin-models/ids.ts'
import { INBOX_SIGNAL, REMOVED_SIGNAL } from '../../../workflows/messages.ts'
import type { MemoryDatabase } from '../../support/memory-database.ts'
import { memoryDecisionStore } from '../../support/memory-decision-store.ts'
import type { Oracle } from './oracle.ts'
import type { Activities, MiniTemporal } from './temporal/mini-temporal.ts'
import type { Trouble } from './trouble.ts'
import type { World } from './world.ts'

/** After it a call to Temporal counts as failed, whatever became of it. */
const CALL_TIMEOUT_MS = 5_000

export function miniSignaller(world: World, trouble: Trouble, temporal: MiniTemporal, oracle: Oracle): TwinSignaller {
  return {
    deliver: async ({ tenant, device, incarnation }, seq, batch) => {
      oracle.decisions.signalled(incarnation, seq, batch)
      const signal = (): void => temporal.signalWithStart({ tenant, device, incarnation }, INBOX_SIGNAL, { seq, batch: JSON.parse(batch) })
      return call(`signal ${seq} to device ${incarnation}`, signal)
    },
    remove: (key) => call(`end of device ${key.incarnation}`, () => void temporal.signal(twinWorkflowId(key), REMOVED_SIGNAL, {})),
  }

  async function call(what: string, signal: () => void): Promise<boolean> {
    if (temporal.isDown) {
      await world.sleep(trouble.chance(0.5) ? CALL_TIMEOUT_MS : 2, `${what} fails`)
      return false
    }
    await world.sleep(trouble.latency(), what)
    if (temporal.isDown) return false
    const dice = trouble.calm ? 1 : world.random.next()
    if (dice < 0.01) return false
    if (dice < 0.03) {
      world.note(`${what} will arrive late`)
      world.later(world.between(100, 90_000), `${what}, late`, signal)
      return dice < 0.02
    }
    signal()
    if (dice < 0.04) signal()
    return dice >= 0.05 || dice < 0.04
  }
}

/** `announce`: a decision left something for this device. */
export function miniActivities(
  world: World,
  trouble: Trouble,
  db: MemoryDatabase,
  oracle: Oracle,
  announce: (incarnation: number) => void,
): Activities {
  const store = memoryDecisionStore(db)

  async function write(decision: Decision): Promise<DecisionOutcome> {
    const { revision, decidedSeq } = db.devices.get(decision.incarnation) ?? { revision: 0, decidedSeq: 0 }
    const outcome = await store.write(decision)
    if (outcome.outcome === 'written') oracle.decisions.decided(decision, { revision, decidedSeq })
    return outcome
  }

  /** Tried until it succeeds, as a local activity is. */
  async function attempt<T>(what: string, run: () => Promise<T>): Promise<T> {
    for (;;) {
      await world.sleep(trouble.latency(), what)
      if (!trouble.calm && (trouble.outageUntil > world.now || trouble.chance(0.01))) {
        await world.sleep(200, `${what} again`)
        continue
      }
      const result = await run()
      if (!trouble.chance(0.01)) return result
      world.note(`${what}: done, but its answer is lost`)
    }
  }

  return {
    writeDecision: async (decision: Decision) => {
      const result = await attempt(`decision of device ${decision.incarnation}`, () => write(decision))
      if (result.outcome === 'written' && decision.effects) announce(decision.incarnation)
      return result
    },
    confirmDecision: (key: TwinKey, revision: number) =>
      attempt(`confirmation for device ${key.incarnation}`, () => store.confirm(key, revision)),
    sentCommands: (key: TwinKey) => attempt(`deadline of device ${key.incarnation}`, () => store.sentCommands(key)),
    sentUpdate: (key: TwinKey, id: string) => attempt(`update of device ${key.incarnation}`, () => store.sentUpdate(key, id)),
    lastSeen: (key: TwinKey) => attempt(`backstop of device ${key.incarnation}`, () => store.lastSeen(key)),
  } as unknown as Activities
}
