/** What every store of what is pending must do, whatever it is made of. */
import { describe, expect, test } from 'vitest'
import { type Ask, COMMANDS_AT_ONCE, type DownlinkStore, type Pending } from '../../api/downlink.ts'

export interface CommandGiven {
  repeatable?: boolean
  retryMs?: number
  maxAttempts?: number
  expiresInMs?: number
  released?: boolean
}

export interface DownlinkUnderTest {
  store: DownlinkStore
  /** A fresh device. */
  register(): Promise<number>
  /** As the decision write leaves a version that is new. */
  wish(incarnation: number, given?: { version?: number; retryMs?: number; answered?: boolean }): Promise<void>
  command(incarnation: number, given?: CommandGiven): Promise<string>
  /** As the processor notes a device's first word on it. */
  acknowledge(id: string): Promise<void>
  /** As a decision ends it. */
  cancel(id: string): Promise<void>
  /** So long ago everything was sent that was sent before. */
  pass(incarnation: number, ms: number): Promise<void>
  row(id: string): Promise<{ status: string; attempts: number; told: boolean }>
  /** As the decision that lets an update go leaves it: with the job of another attempt each time. */
  update(incarnation: number, given?: { id?: string; untilMs?: number }): Promise<UpdateGiven>
  /** As the processor notes a device's first word on it. */
  answerUpdate(id: string): Promise<void>
  /** As a decision ends it. */
  cancelUpdate(id: string): Promise<void>
  /** Its artifact may not be installed any more. */
  distrust(update: UpdateGiven): Promise<void>
  updateRow(id: string): Promise<{ status: string; sends: number; told: boolean }>
  /** When its device was first told of its present attempt; epoch ms. */
  firstTold(id: string): Promise<number | null>
}

export interface UpdateGiven {
  id: string
  firmware: string
  /** What its device is to be told. */
  job: object
  manifest: object
  url: string
}

const due = (incarnation: number): Ask => ({ incarnation, ...DUE })
const all = (incarnation: number): Ask => ({ ...due(incarnation), desired: 'all', commands: 'all', updates: 'all' })
const ids = (pending: Pending | undefined): string[] => pending?.commands.map(({ id }) => id) ?? []

const DUE: Omit<Ask, 'incarnation'> = { desired: 'due', commands: 'due', after: 0, cancels: true, updates: 'due', updateCancels: true }
const nothing: Pending = { desired: null, commands: [], cancels: [], update: null, updateCancels: [], errors: [] }

export function downlinkStoreSuite(name: string, create: () => Promise<DownlinkUnderTest>): void {
  describe(name, () => {
    const claim = async ({ store }: DownlinkUnderTest, ask: Ask) => (await store.claim([ask])).get(ask.incarnation)

    test('gives what was never sent, and then nothing until its wait is over, which doubles', async () => {
      const under = await create()
      const device = await under.register()
      await under.wish(device, { retryMs: 10_000 })
      const id = await under.command(device, { retryMs: 20_000 })
      expect(await claim(under, due(device))).toMatchObject({ desired: { attempt: 1 }, commands: [{ id, attempt: 1 }], cancels: [] })
      expect(await claim(under, due(device))).toBeUndefined()
      const ms = (await under.store.whenDue([due(device)])).get(device)!
      expect(ms > 9_000 && ms <= 12_000).toBe(true)
      await under.pass(device, 12_000)
      expect(await claim(under, due(device))).toMatchObject({ desired: { attempt: 2 }, commands: [] })
      await under.pass(device, 12_000)
      expect(await claim(under, due(device))).toMatchObject({ desired: null, commands: [{ id, attempt: 2 }] })
      await under.pass(device, 12_000)
      expect(await claim(under, due(device))).toMatchObject({ desired: { attempt: 3 }, commands: [] })
      expect(await under.row(id)).toEqual({ status: 'sent', attempts: 2, told: false })
    })

    test('gives an answered wish only to who asks for all', async () => {
      const under = await create()
      const device = await under.register()
      await under.wish(device, { answered: true })
      expect(await claim(under, due(device))).toBeUndefined()
      expect(await under.store.whenDue([due(device)])).toEqual(new Map())
      expect(await claim(under, all(device))).toMatchObject({ desired: { attempt: 1 } })
    })

    test('begins anew with a new version', async () => {
      const under = await create()
      const device = await under.register()
      await under.wish(device, { version: 1 })
      await claim(under, due(device))
      await under.wish(device, { version: 2 })
      const pending = await claim(under, due(device))
      expect(pending?.desired?.attempt).toBe(1)
      expect(JSON.parse(pending!.desired!.body).version).toBe(2)
    })

    test('gives what may not be repeated once, what may so often as it says, and what has not been let go never', async () => {
      const under = await create()
      const device = await under.register()
      const once = await under.command(device, { repeatable: false })
      const twice = await under.command(device, { maxAttempts: 2 })
      await under.command(device, { released: false })
      expect(ids(await claim(under, all(device)))).toEqual([once, twice])
      expect(ids(await claim(under, all(device)))).toEqual([twice])
      expect(await claim(under, all(device))).toBeUndefined()
    })

    test('gives one that will have expired on the way to nobody', async () => {
      const under = await create()
      const device = await under.register()
      await under.command(device, { expiresInMs: 900 })
      expect(await claim(under, all(device))).toBeUndefined()
      expect(await under.store.whenDue([all(device)])).toEqual(new Map())
    })

    test('gives one that its device works on only to who asks for all', async () => {
      const under = await create()
      const device = await under.register()
      const id = await under.command(device, { retryMs: 1_000 })
      await claim(under, due(device))
      await under.acknowledge(id)
      await under.pass(device, 60_000)
      expect(await claim(under, due(device))).toBeUndefined()
      expect(await under.store.whenDue([due(device)])).toEqual(new Map())
      expect(ids(await claim(under, all(device)))).toEqual([id])
    })

    test('gives all in order and in parts', async () => {
      const under = await create()
      const device = await under.register()
      const made: string[] = []
      for (let n = 0; n < COMMANDS_AT_ONCE + 2; n++) made.push(await under.command(device))
      const first = await claim(under, all(device))
      expect(ids(first)).toEqual(made.slice(0, COMMANDS_AT_ONCE))
      const rest = await claim(under, { ...all(device), after: first!.commands.at(-1)!.number })
      expect(ids(rest)).toEqual(made.slice(COMMANDS_AT_ONCE))
    })

    test('after the end gives nothing but the cancel, until that is told, and none of what was never sent', async () => {
      const under = await create()
      const device = await under.register()
      const sent = await under.command(device)
      await claim(under, due(device))
      const unsent = await under.command(device)
      for (const id of [sent, unsent]) await under.cancel(id)
      expect((await under.store.whenDue([due(device)])).get(device)).toBe(0)
      for (let n = 0; n < 2; n++) expect(await claim(under, all(device))).toEqual({ ...nothing, cancels: [sent] })
      expect((await under.store.list([device])).get(device)).toEqual({ ...nothing, cancels: [sent] })
      await under.store.cancelsTold([sent])
      expect(await claim(under, all(device))).toBeUndefined()
      expect(await under.row(sent)).toEqual({ status: 'cancelled', attempts: 1, told: true })
    })

    test('lists what may be handed out or was, and claims nothing', async () => {
      const under = await create()
      const device = await under.register()
      const spent = await under.command(device, { repeatable: false })
      const sent = await under.command(device)
      await claim(under, due(device))
      const fresh = await under.command(device, { repeatable: false })
      await under.wish(device, { answered: true })
      for (let n = 0; n < 2; n++) {
        const listed = (await under.store.list([device])).get(device)!
        expect(listed.desired?.attempt).toBe(0)
        expect(listed.commands.map(({ id, attempt }) => [id, attempt])).toEqual([
          [sent, 1],
          [fresh, 0],
        ])
      }
      expect(await under.row(spent)).toMatchObject({ attempts: 1 })
    })

    describe('of updates', () => {
      const bodyOf = ({ job, manifest, url }: UpdateGiven) => ({ job, manifest, url })
      const given = (pending: Pending | undefined) => JSON.parse(pending!.update!.body)

      test('gives the job with manifest and link, and again after 30 seconds, doubled each time, until the device says a word', async () => {
        const under = await create()
        const device = await under.register()
        const update = await under.update(device)
        expect(await under.updateRow(update.id)).toEqual({ status: 'scheduled', sends: 0, told: false })
        const first = await claim(under, due(device))
        expect(first).toMatchObject({ ...nothing, update: { id: update.id, sends: 1 } })
        expect(given(first)).toEqual(bodyOf(update))
        expect(await under.updateRow(update.id)).toEqual({ status: 'notified', sends: 1, told: false })
        expect(await claim(under, due(device))).toBeUndefined()
        const firstTold = await under.firstTold(update.id)
        expect(firstTold).toBeTypeOf('number')
        const ms = (await under.store.whenDue([due(device)])).get(device)!
        expect(ms > 29_000 && ms <= 36_000).toBe(true)
        await under.pass(device, 36_000)
        expect(await claim(under, due(device))).toMatchObject({ update: { id: update.id, sends: 2 } })
        await under.pass(device, 36_000)
        expect(await claim(under, due(device))).toBeUndefined()
        await under.pass(device, 36_000)
        expect((await under.store.whenDue([due(device)])).get(device)).toBe(0)
        await under.answerUpdate(update.id)
        expect(await under.store.whenDue([due(device)])).toEqual(new Map())
        expect(await claim(under, due(device))).toBeUndefined()
        expect(await claim(under, all(device))).toMatchObject({ update: { id: update.id, sends: 3 } })
        expect(await under.updateRow(update.id)).toMatchObject({ status: 'downloading', sends: 3 })
        expect(await under.firstTold(update.id)).toBe(firstTold)
      })

      test('gives another attempt anew, with its own job', async () => {
        const under = await create()
        const device = await under.register()
        const one = await under.update(device)
        await claim(under, due(device))
        await under.answerUpdate(one.id)
        const two = await under.update(device, { id: one.id })
        expect(two.job).not.toEqual(one.job)
        expect(await under.firstTold(one.id)).toBeNull()
        const pending = await claim(under, due(device))
        expect(pending).toMatchObject({ update: { id: one.id, sends: 1 } })
        expect(given(pending)).toEqual(bodyOf(two))
      })

      test('gives to nobody what will have expired on the way, and what is not trusted any more', async () => {
        const under = await create()
        const [late, withdrawn] = [await under.register(), await under.register()]
        await under.update(late, { untilMs: 900 })
        const update = await under.update(withdrawn)
        await under.distrust(update)
        for (const device of [late, withdrawn]) {
          expect(await claim(under, all(device))).toBeUndefined()
          expect(await under.store.whenDue([all(device)])).toEqual(new Map())
          expect(await under.store.list([device])).toEqual(new Map())
        }
        expect(await under.updateRow(update.id)).toMatchObject({ status: 'scheduled', sends: 0 })
      })

      test('gives one at a time', async () => {
        const under = await create()
        const device = await under.register()
        const [one, two] = [await under.update(device), await under.update(device)]
        expect(await claim(under, all(device))).toMatchObject({ update: { id: one.id } })
        expect((await under.store.list([device])).get(device)).toMatchObject({ update: { id: one.id } })
        await under.cancelUpdate(one.id)
        expect(await claim(under, all(device))).toMatchObject({ update: { id: two.id }, updateCancels: [one.id] })
      })

      test('gives nothing of them that is not asked for', async () => {
        const under = await create()
        const device = await under.register()
        const [one, two] = [await under.update(device), await under.update(device)]
        await claim(under, due(device))
        await under.cancelUpdate(one.id)
        const none: Ask = { ...all(device), updates: 'none', updateCancels: false }
        expect(await claim(under, none)).toBeUndefined()
        expect(await under.store.whenDue([none])).toEqual(new Map())
        expect(await claim(under, { ...none, updateCancels: true })).toEqual({ ...nothing, updateCancels: [one.id] })
        expect(await claim(under, { ...none, updates: 'due' })).toMatchObject({ update: { id: two.id }, updateCancels: [] })
      })

      test('after the end gives nothing but the cancel, until that is told, and none of what was never sent', async () => {
        const under = await create()
        const device = await under.register()
        const sent = await under.update(device)
        await claim(under, due(device))
        const unsent = await under.update(device)
        for (const { id } of [sent, unsent]) await under.cancelUpdate(id)
        expect((await under.store.whenDue([due(device)])).get(device)).toBe(0)
        for (let n = 0; n < 2; n++) expect(await claim(under, all(device))).toEqual({ ...nothing, updateCancels: [sent.id] })
        expect((await under.store.list([device])).get(device)).toEqual({ ...nothing, updateCancels: [sent.id] })
        await under.store.cancelsTold([sent.id])
        expect(await claim(under, all(device))).toBeUndefined()
        expect(await under.updateRow(sent.id)).toEqual({ status: 'cancelled', sends: 1, told: true })
        expect(await under.updateRow(unsent.id)).toEqual({ status: 'cancelled', sends: 0, told: false })
      })

      test('lists what may be handed out or was, and claims nothing', async () => {
        const under = await create()
        const device = await under.register()
        const update = await under.update(device)
        for (let n = 0; n < 2; n++) {
          const listed = (await under.store.list([device])).get(device)
          expect(listed).toMatchObject({ update: { id: update.id, sends: 0 } })
          expect(given(listed)).toEqual(bodyOf(update))
        }
        expect(await under.updateRow(update.id)).toMatchObject({ status: 'scheduled', sends: 0 })
        await claim(under, due(device))
        await under.answerUpdate(update.id)
        expect((await under.store.list([device])).get(device)).toMatchObject({ update: { id: update.id, sends: 1 } })
      })
    })
  })
}
