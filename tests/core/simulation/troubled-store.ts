/**
 * The lane store of one processor, over the database in memory: each call takes its time and may fail; a commit may take long while it
 * holds its lanes, and its outcome may stay unknown to the processor, or the processor may die in the middle of it.
 */
import type { LaneStore, TickChanges } from '../../../api/ingest/lane-store.ts'
import type { MemoryDatabase } from '../../support/memory-database.ts'
import { beginCommit, failure, memoryLaneStore } from '../../support/memory-lane-store.ts'
import type { Trouble } from './trouble.ts'
import type { Life, World } from './world.ts'

/** A text that this store cannot hold, as Postgres cannot hold some. */
export const POISON = 'poison'
/** Shorter than a lease: a transaction cannot outlive it. */
const LONGEST_COMMIT_MS = 4_000

export interface CommitWatcher {
  /** Just before it becomes true, and just after. */
  committing(processor: string, changes: TickChanges): void
  committed(processor: string, changes: TickChanges): void
  /** A tick of the processor reads devices as they stand in the registry now. */
  devicesRead(processor: string, incarnations: number[]): void
}

export interface TroubledStoreOptions {
  processor: string
  life: Life
  world: World
  db: MemoryDatabase
  trouble: Trouble
  watcher: CommitWatcher
  /** Whether the call comes from a tick (and not from the signalling beside it). */
  inTick: () => boolean
}

export function troubledStore({ processor, life, world, db, trouble, watcher, inTick }: TroubledStoreOptions): LaneStore {
  const store = memoryLaneStore(db)
  const ask = <T>(what: string, run: () => Promise<T>): Promise<T> => trouble.ask(`${processor} asks for ${what}`, life, run)

  return {
    lanes: (lanes) => ask('lanes', () => store.lanes(lanes)),
    streams: () => ask('streams', () => store.streams()),
    read: (stream, after, lanes, maxEntries) => ask('log', () => store.read(stream, after, lanes, maxEntries)),
    devices: (incarnations) => {
      const ofTick = inTick()
      return ask('devices', () => {
        if (ofTick) watcher.devicesRead(processor, incarnations)
        return store.devices(incarnations)
      })
    },
    knownMessages: (ids) => ask('ids', () => store.knownMessages(ids)),
    commands: (ids) => ask('commands', () => store.commands(ids)),
    updates: (ids) => ask('updates', () => store.updates(ids)),
    properties: (tenant, names) => ask('names', () => store.properties(tenant, names)),
    answers: (lanes, limit) => ask('answers', () => store.answers(lanes, limit)),
    requests: (lanes, limit) => ask('requests', () => store.requests(lanes, limit)),
    removed: (lanes, limit) => ask('removed', () => store.removed(lanes, limit)),
    removalTold: (incarnation) => ask('end of a removal', () => store.removalTold(incarnation)),
    ruleChange: () => ask('a change of rules', () => store.ruleChange()),
    liveRules: () => ask('rules', () => store.liveRules()),
    outdated: (lanes, limit) => ask('devices of other rules', () => store.outdated(lanes, limit)),
    registered: (incarnations) => ask('registrations', () => store.registered(incarnations)),
    laneDevices: async function* (lanes) {
      yield* await ask('devices of lanes', async () => store.laneDevices(lanes))
    },
    connectedThrough: (stream, lanes) => ask('connections', () => store.connectedThrough(stream, lanes)),
    copyForSearch: (rows) => ask('copy', () => store.copyForSearch(rows)),
    commit,
    isTransient: store.isTransient,
  }

  async function commit(changes: TickChanges, trial = false): Promise<void> {
    await world.sleep(trouble.latency(), `${processor} commits`, life)
    trouble.refuse()
    if (changes.news.concat(changes.late).some(({ value }) => value === POISON)) throw failure('22P02', 'this value cannot be stored')
    const finish = beginCommit(db, changes)
    const end = (really: boolean): void => {
      if (really) watcher.committing(processor, changes)
      finish(really)
      if (really) watcher.committed(processor, changes)
    }
    if (trial) return end(false)
    if (trouble.chance(0.01)) {
      // COMMIT is sent, the lanes are locked, and the connection breaks: sooner or later the server has done it, or not.
      const really = world.random.chance(0.5)
      world.note(`${processor} loses its connection at COMMIT, which is ${really ? '' : 'not '}done`)
      world.later(world.between(0, LONGEST_COMMIT_MS), `${processor}: server ends its transaction`, () => end(really))
      throw failure('CONNECTION_CLOSED', 'connection lost at COMMIT')
    }
    if (trouble.chance(0.05)) await world.sleep(world.between(1, LONGEST_COMMIT_MS), `${processor}: a slow commit`)
    // Who died while it was slow has sent COMMIT or not.
    end(life.alive || world.random.chance(0.5))
    await world.sleep(0, `${processor} committed`, life)
  }
}
