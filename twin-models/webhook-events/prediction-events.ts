/** The event of a prediction: no twin decides it, it is written with the answer. Its row names the device. */
import type { RequestedBy } from '../prediction/types.ts'
import { platformEvent } from './platform-events.ts'
import { about, flag, OF_DEVICE, object, share, text, word } from './schema.ts'

export interface PredictionEvent {
  kind: 'prediction-made'
  at: number
  prediction: string
  model: string
  probability: number
  threshold: number
  high: boolean
  horizon: string
  explanation?: string
  modelVersion?: string
  requestedBy: RequestedBy
}

export const predictionMade = platformEvent('prediction.made', 'prediction-made', {
  description: 'A prediction model has answered about a device.',
  fields: {
    ...OF_DEVICE,
    prediction: about(text, 'Its id.'),
    model: about(text, 'Name of the prediction model.'),
    probability: share,
    threshold: about(share, 'From this probability on the risk is high.'),
    high: about(flag, 'The probability is not below the threshold.'),
    horizon: about(text, 'What is predicted may happen within so long, counted from `at`: a duration like 48h.'),
    'explanation?': about(text, 'As the model says it.'),
    'modelVersion?': text,
    requestedBy: object({ kind: word('rule', 'ticket', 'schedule', 'person'), name: text }),
  },
  example: {
    device: 'p-1',
    prediction: '7a1d6a0e-0c51-4f5e-9d0b-6a2f0b1c4d11',
    model: 'pump-failure',
    probability: 0.87,
    threshold: 0.7,
    high: true,
    horizon: '2d',
    explanation: 'vibration 3.9 (+4.7), vibrationChange 0.4 (+0.5)',
    modelVersion: '1',
    requestedBy: { kind: 'rule', name: 'vibration-high' },
  },
  cause: { by: 'prediction', who: 'vibration-high' },
})
