/**
 * How a simulated device updates its firmware: it believes no job before it has checked it, does each once, and comes back with what it
 * installed, or not, as its fate has it.
 *
 *   job ──► checked ──► downloading ──► verifying ──► installing ──► rebooting ──► gone ──► hello with what runs then
 *              └── rejected    └── failed                └── failed
 */
import type { UpdateAnswer } from '../../../twin-models/core/update-types.ts'
import type { Job } from '../../../twin-models/firmware/job.ts'
import type { Manifest } from '../../../twin-models/firmware/manifest.ts'
import type { AskedUpdate } from '../asked.ts'
import type { Random } from '../random.ts'
import type { Figures } from '../report.ts'
import type { Download, DownloadOptions } from './download.ts'
import type { Fate } from './fate.ts'
import type { Flash, Image } from './flash.ts'
import type { Keys } from './keys.ts'
import { createMemory, type Identity } from './memory.ts'
import { verifyUpdate } from './verify.ts'
import { createWords, type Speech } from './words.ts'

export interface UpdaterOptions extends Speech, Identity {
  fate: Fate | undefined
  /** It holds a lock for a while when it is first asked: somebody works with it. */
  locks: boolean
  slow: boolean
  keys: Keys
  flash: Flash
  random: Random
  figures: Pick<Figures, 'updates'>
  later(ms: number, act: () => void): () => void
  download(options: DownloadOptions): Promise<Download>
  /** Mischief: the line breaks after so many bytes. */
  breaksAfter(size: number): number | undefined
  /** Goes away, for so long; `boot` before it comes back. */
  reboot(ms: number, boot: () => void): void
  /** Goes away and never comes back. */
  die(): void
}

export interface Updater {
  take(asked: AskedUpdate): void
  cancel(id: string): void
  /** It may have been registered anew: it learns by the next job which registration it has. */
  forgetRegistration(): void
  stop(): void
  readonly isBusy: boolean
}

const LOCKED_MS = 5_000
const STEP_MS = { least: 50, most: 300 } as const
const REBOOT_MS = { least: 200, most: 1_500 } as const
const SLOWER = 30
/** Its last word before the reboot waits so long for its acknowledgement. */
const LAST_WORD_MS = 3_000
const TELL_EVERY_MS = 1_000

interface Work {
  id: string
  gone: AbortController
  callOff?: () => void
}

export function createUpdater(options: UpdaterOptions): Updater {
  const { device, fate, random, figures, now, later } = options
  const { tell, repeat } = createWords(options)
  const before = options.flash.of(options.id)
  const memory = createMemory(options, before)
  if (before) start(before)
  let lockedUntil = options.locks ? undefined : 0
  let work: Work | undefined

  async function take(asked: AskedUpdate): Promise<void> {
    const { id } = asked
    if (memory.isCancelled(id)) return
    if (work?.id === id) return repeat(id)
    if (work) return tell(id, { status: 'failed', code: 'busy', message: 'I am on another update' })
    const mine: Work = { id, gone: new AbortController() }
    work = mine
    let verdict = verifyUpdate(asked, memory.self(), options.keys.trust, now())
    if (verdict.status === 'rejected' && verdict.code === 'untrusted') {
      await options.keys.refresh()
      verdict = verifyUpdate(asked, memory.self(), options.keys.trust, now())
    }
    if (work !== mine) return
    if (verdict.status === 'rejected' && verdict.code === 'replayed') {
      work = undefined
      return repeat(id)
    }
    if (verdict.job) memory.answered(verdict.job)
    if (verdict.status !== 'accepted') end(mine, verdict)
    else if (fate === 'reject') end(mine, { status: 'rejected', code: 'refused', message: 'I do not want to' })
    else if (isLocked()) end(mine, { status: 'failed', code: 'locked', message: 'Somebody works with me' })
    else await fetchIt(mine, verdict.job, verdict.manifest, asked.url)
  }

  async function fetchIt(mine: Work, job: Job, wanted: Manifest, url: string): Promise<void> {
    const { size, sha256 } = wanted
    tell(mine.id, { status: 'downloading', progress: 0 })
    let toldAt = now()
    const got = await options.download({
      url,
      size,
      sha256,
      signal: mine.gone.signal,
      breaksAfter: () => options.breaksAfter(size),
      progress(have) {
        if (now() - toldAt < TELL_EVERY_MS) return
        toldAt = now()
        tell(mine.id, { status: 'downloading', progress: Math.floor((100 * have) / size) })
      },
    })
    figures.updates.bytes += got.bytes
    figures.updates.resumes += got.resumes
    if (work !== mine) return
    if (got.failure) return end(mine, { status: 'failed', ...got.failure })
    tell(mine.id, { status: 'verifying' })
    step(mine, () => {
      tell(mine.id, { status: 'installing' })
      step(mine, () => install(mine, job, wanted))
    })
  }

  function install(mine: Work, job: Job, wanted: Manifest): void {
    // A bad image is bad, not its device: what ran before runs again.
    const befalls = job.kind === 'install' ? fate : undefined
    if (befalls === 'fail') {
      end(mine, { status: 'failed', code: 'install-failed', message: 'The image cannot be written' })
      return
    }
    let hasLeft = false
    const leave = () => {
      if (hasLeft || work !== mine) return
      hasLeft = true
      if (befalls === 'brick') {
        figures.updates.bricked += 1
        options.die()
      } else options.reboot(moment(REBOOT_MS), () => boot(wanted, befalls))
    }
    tell(mine.id, { status: 'rebooting' }, leave)
    mine.callOff = later(LAST_WORD_MS, leave)
  }

  function boot(wanted: Manifest, befalls: Fate | undefined): void {
    work = undefined
    if (befalls === 'return') {
      figures.updates.returned += 1
      return
    }
    const image = memory.boots(wanted, befalls !== 'unhealthy')
    options.flash.write(options.id, image)
    start(image)
    figures.updates.installed += 1
  }

  function start({ manifest: { version, sha256 }, isWell }: Image): void {
    device.boot({ version, sha256 }, isWell)
  }

  function end(mine: Work, { status, code, message }: UpdateAnswer): void {
    if (work === mine) work = undefined
    figures.updates[status] += 1
    tell(mine.id, { status, code, ...(message !== undefined && { message }) })
  }

  function step(mine: Work, next: () => void): void {
    mine.callOff = later(moment(STEP_MS), () => work === mine && next())
  }

  function moment({ least, most }: { least: number; most: number }): number {
    return random.between(least, most) * (options.slow ? SLOWER : 1)
  }

  function isLocked(): boolean {
    lockedUntil ??= now() + LOCKED_MS
    return now() < lockedUntil
  }

  function callOff(): void {
    work?.gone.abort()
    work?.callOff?.()
    work = undefined
  }

  return {
    take: (asked) => void take(asked),
    cancel(id) {
      memory.cancel(id)
      if (work?.id === id) callOff()
    },
    forgetRegistration: memory.forgetRegistration,
    stop: callOff,
    get isBusy() {
      return work !== undefined
    },
  }
}
