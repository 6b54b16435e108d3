/**
 * `npm run simulate:core -- --steps N --seed S`: the deterministic simulation of processing, inbox, twin and decision write. `--device N`
 * adds all that is known of one device (its incarnation) to what a failure prints.
 */
import { registerHooks } from 'node:module'
import { parseArgs } from 'node:util'
import type { RoundReport } from './round.ts'

const { values } = parseArgs({
  options: { steps: { type: 'string', default: '100000' }, seed: { type: 'string' }, device: { type: 'string' } },
})
const seed = values.seed ?? String(Date.now() % 1_000_000_007)
const steps = Number(values.steps)
if (!Number.isSafeInteger(steps) || steps < 1) throw new Error('--steps takes a number from 1')

// The real workflow code runs, on a Temporal in miniature.
const miniature = new URL('./temporal/workflow-module.ts', import.meta.url).href
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === '@temporalio/workflow' ? { url: miniature, shortCircuit: true } : next(specifier, context),
})
const { failureText, simulate } = await import('./simulate.ts')

console.log(`seed ${seed}`)
const onRound = ({ seed: round, steps, virtualSeconds, counts }: RoundReport): void => {
  const texts = Object.entries(counts).map(([name, count]) => `${name} ${count}`)
  console.log(`round ${round}: ${steps} steps, ${virtualSeconds} s: ${texts.join(', ')}`)
}
const started = performance.now()
const device = values.device === undefined ? undefined : Number(values.device)
const result = await simulate({ seed, steps, device, onRound })
console.log(`${result.steps} steps in ${((performance.now() - started) / 1000).toFixed(1)} s`)
if (result.failure) {
  console.log(failureText(result.failure))
  process.exit(1)
}
