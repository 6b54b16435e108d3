import { expect, test } from 'vitest'
import { mergeExposition } from '../../infra/telemetry/exposition.ts'

const bridge = `# HELP castor_seconds Latency
# UNIT castor_seconds s
# TYPE castor_seconds histogram
castor_seconds_bucket{process="bridge",le="+Inf"} 2
castor_seconds_sum{process="bridge"} 0.5
castor_seconds_count{process="bridge"} 2
# HELP castor_sum Not a histogram's sum
# TYPE castor_sum gauge
castor_sum{process="bridge"} 1
`
const worker = `# HELP castor_up Up
# TYPE castor_up gauge
castor_up{process="worker"} 1
# HELP castor_seconds Latency
# TYPE castor_seconds histogram
castor_seconds_bucket{process="worker",le="+Inf"} 1
castor_seconds_sum{process="worker"} 0.1
castor_seconds_count{process="worker"} 1
`

test('each family stands in one block with its HELP and TYPE once, and no sample is lost', () => {
  const lines = mergeExposition([bridge, worker]).trimEnd().split('\n')
  expect(lines.slice(0, 9)).toEqual([
    '# HELP castor_seconds Latency',
    '# TYPE castor_seconds histogram',
    '# UNIT castor_seconds s',
    'castor_seconds_bucket{process="bridge",le="+Inf"} 2',
    'castor_seconds_sum{process="bridge"} 0.5',
    'castor_seconds_count{process="bridge"} 2',
    'castor_seconds_bucket{process="worker",le="+Inf"} 1',
    'castor_seconds_sum{process="worker"} 0.1',
    'castor_seconds_count{process="worker"} 1',
  ])
  expect(lines).toContain('castor_sum{process="bridge"} 1')
  expect(lines.filter((line) => line.startsWith('# TYPE'))).toHaveLength(3)
})

test('processes that have nothing, or do not answer, leave no trace', () => {
  expect(mergeExposition(['', '# no registered metrics', ''])).toBe('')
  expect(mergeExposition(['', worker])).toContain('castor_up{process="worker"} 1\n')
})
