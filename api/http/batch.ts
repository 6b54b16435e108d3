/** Many ask for one device each at the same time, and one query answers all who asked meanwhile: at most one is under way. */

interface Asker<T> {
  resolve(found: T | undefined): void
  reject(error: unknown): void
}

/** Gives undefined where the query found nothing. Of two that ask for the same device the first one gets it: it may be given once only. */
export function batched<T>(
  query: (incarnations: number[]) => Promise<Map<number, T>>,
  most: number,
): (incarnation: number) => Promise<T | undefined> {
  const asking = new Map<number, Asker<T>[]>()
  let busy = false

  return (incarnation) =>
    new Promise((resolve, reject) => {
      const askers = asking.get(incarnation) ?? []
      asking.set(incarnation, askers)
      askers.push({ resolve, reject })
      if (!busy) void run()
    })

  async function run(): Promise<void> {
    busy = true
    // Those of the same turn go together.
    await undefined
    while (asking.size > 0) await answer(take())
    busy = false
  }

  function take(): Map<number, Asker<T>[]> {
    const taken = new Map<number, Asker<T>[]>()
    for (const [incarnation, askers] of asking) {
      if (taken.size === most) break
      asking.delete(incarnation)
      taken.set(incarnation, askers)
    }
    return taken
  }

  async function answer(askers: Map<number, Asker<T>[]>): Promise<void> {
    try {
      const found = await query([...askers.keys()])
      for (const [incarnation, [first, ...others]] of askers) {
        first!.resolve(found.get(incarnation))
        for (const { resolve } of others) resolve(undefined)
      }
    } catch (error) {
      for (const { reject } of [...askers.values()].flat()) reject(error)
    }
  }
}
