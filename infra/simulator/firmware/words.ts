/** What a simulated device says of its updates, and says again when it is asked again. */
import { type Outgoing, type UpdateWord, updateWord } from '../message.ts'

export interface Words {
  /** `then` when it has arrived. */
  tell(update: string, word: UpdateWord, then?: () => void): void
  /** The last one, under the same id, so that it counts once. */
  repeat(update: string): void
}

export interface Speech {
  say(message: Outgoing, then?: () => void): void
  nextId(): string
  now(): number
}

/** Of updates; older ones do not come again. */
const REMEMBERED = 100

export function createWords({ say, nextId, now }: Speech): Words {
  const last = new Map<string, Outgoing>()
  return {
    tell(update, word, then) {
      const message = updateWord(now(), update, nextId(), word)
      last.delete(update)
      last.set(update, message)
      const [oldest] = last.keys()
      if (last.size > REMEMBERED) last.delete(oldest!)
      say(message, then)
    },
    repeat(update) {
      const word = last.get(update)
      if (word) say({ ...word, attempts: 0 })
    },
  }
}
