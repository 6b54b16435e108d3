/** The platform's key in tests: signs jobs. */
import { generateKeyPairSync } from 'node:crypto'
import { signEnvelope } from '../../twin-models/firmware/envelope.ts'
import { JOB_TYPE, type SignJob } from '../../twin-models/firmware/job.ts'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')

export const directorKey = publicKey

export const signJob: SignJob = (payload) => signEnvelope(JOB_TYPE, payload, privateKey)
