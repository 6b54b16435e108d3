/** Telling Temporal what stands in Postgres, again and again: one round at a time, and a failure is told once, until a round goes well again. */

export interface Rounds {
  /** Does not wait for it. While one is under way no other begins. */
  begin(): void
  /** Resolves when the one that is under way has ended. */
  ended(): Promise<void>
}

export function createRounds(round: () => Promise<void>, failed: (error: unknown) => void): Rounds {
  let underWay: Promise<void> | undefined
  let failing = false

  async function run(): Promise<void> {
    try {
      await round()
      failing = false
    } catch (error) {
      if (!failing) failed(error)
      failing = true
    }
  }

  return {
    begin() {
      underWay ??= run().finally(() => {
        underWay = undefined
      })
    },
    async ended() {
      await underWay
    },
  }
}
