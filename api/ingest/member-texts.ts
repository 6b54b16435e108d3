/**
 * JSON of an object of which few members change at a time: the others' texts are kept. A device with twenty properties sends three of
 * them in a message, and its whole row is written: without this, writing JSON is half of the processor's work.
 */
export class MemberTexts {
  /** One text a member, `"name":value`, in the order in which they came. */
  #texts: string[] = []
  readonly #places = new Map<string, number>()
  readonly #changed = new Set<string>()
  #known = false

  /** The member may be new or changed. */
  changed(name: string): void {
    if (this.#known) this.#changed.add(name)
  }

  /** Members are gone, or all have changed. */
  forgetAll(): void {
    this.#known = false
  }

  json(object: { [name: string]: unknown }): string {
    if (!this.#known) this.#begin(Object.keys(object))
    for (const name of this.#changed) {
      const value = object[name]
      if (value === undefined) continue
      const text = `${JSON.stringify(name)}:${JSON.stringify(value)}`
      const place = this.#places.get(name)
      if (place !== undefined) this.#texts[place] = text
      else this.#places.set(name, this.#texts.push(text) - 1)
    }
    this.#changed.clear()
    return `{${this.#texts.join(',')}}`
  }

  #begin(names: string[]): void {
    this.#texts = []
    this.#places.clear()
    this.#changed.clear()
    for (const name of names) this.#changed.add(name)
    this.#known = true
  }
}
