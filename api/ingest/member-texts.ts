/**
 * JSON of an object of which few members change at a time: the others' texts are kept. A device with twenty properties sends three of
 * them in a message, and its whole row is written: without this, writing JSON is half of the processor's work.
 */
export class MemberTexts {
  readonly #texts = new Map<string, string>()

  /** The member changed. */
  forget(name: string): void {
    this.#texts.delete(name)
  }

  forgetAll(): void {
    this.#texts.clear()
  }

  json(object: { [name: string]: unknown }): string {
    const members: string[] = []
    for (const name in object) {
      let text = this.#texts.get(name)
      if (text === undefined) {
        text = `${JSON.stringify(name)}:${JSON.stringify(object[name])}`
        this.#texts.set(name, text)
      }
      members.push(text)
    }
    return `{${members.join(',')}}`
  }
}
