/** A store between workers and the real one, whose calls tests may answer instead. */

export interface Between<Store> {
  between: Store
  /** What it does instead, while set. */
  instead: Partial<Store>
}

export function inBetween<Store extends object>(store: Store): Between<Store> {
  const instead: Partial<Store> = {}
  const between = new Proxy(store, { get: (_, name) => Reflect.get(instead, name) ?? Reflect.get(store, name) })
  return { between, instead }
}
