/** The simulation as a test: of fixed seeds and one drawn anew. `npm run simulate:core` runs as many as one likes. */
import { expect, test, vi } from 'vitest'
import { failureText, simulate } from './simulation/simulate.ts'

vi.mock('@temporalio/workflow', () => import('./simulation/temporal/workflow-module.ts'))

const STEPS = 10_000
const drawn = String(Math.floor(Math.random() * 1_000_000_000))

test.each(['1', '2', '3', '4', drawn])(
  'whatever happens on the way, every message and every request counts once and is decided on (seed %s)',
  async (seed) => {
    console.log(`simulation: seed ${seed}, ${STEPS} steps`)
    const { failure } = await simulate({ seed, steps: STEPS })
    expect(failure && failureText(failure)).toBeUndefined()
  },
)

test('inboxes are full now and then, and what they refuse is a dead letter; and wishes, commands, updates and rules go every way that there is', async () => {
  const { rounds, failure } = await simulate({ seed: '55', steps: STEPS })
  expect(failure && failureText(failure)).toBeUndefined()
  const counts = rounds[0]!.counts
  const ways = ['converged', 'diverged', 'conflicts', 'commandsSent', 'cancelsSent', 'lateWords', 'deadlines', 'askedAgain', 'refusals']
  const ofUpdates = ['updatesSent', 'updatesHealthy']
  const ofRules = [
    'rulesChanged',
    'rulesRemoved',
    'rulesTold',
    'alarmsRaised',
    'alarmsCleared',
    'alarmsHeld',
    'alarmsCompared',
    'alarmAsks',
  ]
  const ofTime = ['ruleTicks', 'timedReadings', 'lateMemories', 'maintenance']
  for (const way of ['refusedEvents', ...ways, ...ofUpdates, ...ofRules, ...ofTime]) expect(counts[way], way).toBeGreaterThan(0)
})

test('the same seed is the same run, to the last step', async () => {
  const [once, again] = [await simulate({ seed: 'twice', steps: 3_000 }), await simulate({ seed: 'twice', steps: 3_000 })]
  expect(again).toEqual(once)
})
