/**
 * What stands in for '@temporalio/workflow' in the simulation, so that the real workflow code runs here: each call goes to the instance
 * that is being activated (instance.ts). Only what the twin (workflows/device-twin.ts and what it imports) uses.
 */
import { active } from './active.ts'

export class ApplicationFailure extends Error {
  static nonRetryable(message: string): ApplicationFailure {
    return new ApplicationFailure(message)
  }
}

/** Thrown where the workflow continues as new. */
export class ContinueAsNew extends Error {
  readonly args: unknown
  constructor(args: unknown) {
    super('continue as new')
    this.args = args
  }
}

export const defineSignal = (name: string) => ({ type: 'signal', name })
export const defineQuery = (name: string) => ({ type: 'query', name })
export const setHandler = (definition: { type: string; name: string }, handler: (argument: never) => unknown): void => {
  if (definition.type === 'signal') active().handle(definition.name, handler)
}
export const condition = (predicate: () => boolean): Promise<void> => active().until(predicate)
export const sleep = (ms: number): Promise<void> => active().sleep(ms)
/** What runs in it is given up when it is cancelled; its timer rings to nobody then. */
export class CancellationScope {
  readonly #cancelled = Promise.withResolvers<never>()
  run<T>(act: () => Promise<T>): Promise<T> {
    return Promise.race([act(), this.#cancelled.promise])
  }
  cancel(): void {
    this.#cancelled.promise.catch(() => {})
    this.#cancelled.reject(new Error('cancelled'))
  }
}
export const continueAsNew = async (args: unknown): Promise<never> => {
  throw new ContinueAsNew(args)
}
export const proxyLocalActivities = () =>
  new Proxy(
    {},
    {
      get:
        (_target, name) =>
        (...args: unknown[]) =>
          active().callActivity(String(name), args),
    },
  )
export const workflowInfo = () => active().info()
export const upsertSearchAttributes = (pairs: Array<{ key: { name: string }; value: unknown }>): void => active().index(pairs)
export const allHandlersFinished = (): boolean => true
export const setCurrentDetails = (): void => {}
export const log = { warn: (): void => {}, info: (): void => {} }
