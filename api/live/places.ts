/** How many streams may be open at once: in this process, and by one credential. Those that are being opened count, too. */
import { CastorError } from '../../twin-models/errors.ts'

const RETRY = { retryAfterSeconds: 10 }

export class Places {
  readonly #most: number
  readonly #mostOfOne: number
  readonly #ofOne = new Map<string, number>()
  #taken = 0

  constructor(most: number, mostOfOne: number) {
    this.#most = most
    this.#mostOfOne = mostOfOne
  }

  /** Gives what gives it back. Throws when there is none left. */
  take(credential: string): () => void {
    const ofOne = this.#ofOne.get(credential) ?? 0
    if (ofOne >= this.#mostOfOne)
      throw new CastorError('too-many-requests', `This credential has ${this.#mostOfOne} streams open already: close some first.`, RETRY)
    if (this.#taken >= this.#most)
      throw new CastorError('unavailable', `There are ${this.#most} streams open in this process already. Try again later.`, RETRY)
    this.#taken++
    this.#ofOne.set(credential, ofOne + 1)
    return () => {
      this.#taken--
      const left = this.#ofOne.get(credential)! - 1
      if (left > 0) this.#ofOne.set(credential, left)
      else this.#ofOne.delete(credential)
    }
  }
}
