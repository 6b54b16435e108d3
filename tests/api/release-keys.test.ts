/** Who is trusted to sign releases and jobs, over REST: public keys alone. */
import { generateKeyPairSync } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newKeyPair } from '../support/signed-firmware.ts'
import { OTHER_KEY, type TestApi, testApi } from './test-api.ts'
import { trustedKey } from './test-firmware.ts'

let api: TestApi
beforeAll(async () => {
  api = await testApi()
})
afterAll(() => api.database.drop())

describe('release keys', () => {
  const add = (publicKey: string, name = 'ci') => api.ask('POST', '/v1/release-keys', { body: { name, publicKey } })

  test('are listed with their names, and one that is known stays as it is', async () => {
    const made = newKeyPair()
    const first = await add(made.pem, 'laptop')
    const again = await add(made.pem, 'another name')
    expect([first.status, again.status]).toEqual([201, 200])
    expect(again.json).toEqual(first.json)
    expect((await api.ask('GET', '/v1/release-keys')).json.items).toContainEqual(first.json)
    expect((await api.ask('GET', '/v1/release-keys', { key: OTHER_KEY })).json.items).not.toContainEqual(first.json)
  })

  test('once revoked do not come back', async () => {
    const made = await trustedKey(api)
    await api.ask('DELETE', `/v1/release-keys/${made.id}`)
    expect((await add(made.pem)).json).toMatchObject({ status: 409, detail: expect.stringContaining('for good') })
    expect((await api.ask('DELETE', `/v1/release-keys/${made.id}`)).status).toBe(204)
    expect((await api.ask('DELETE', `/v1/release-keys/${'0'.repeat(32)}`)).status).toBe(404)
    expect((await api.ask('DELETE', `/v1/release-keys/${(await trustedKey(api)).id}`, { key: OTHER_KEY })).status).toBe(404)
  })

  test('are public ones of Ed25519, and a private one is sent back', async () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const rsa = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const privatePem = newKeyPair().privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    for (const [pem, says] of [
      [rsa, /must be of Ed25519; this one is of rsa/],
      [privatePem, /is a private key: keep that to yourself/],
      ['nonsense', /is no public key in PEM/],
    ] as const) {
      const answer = await add(pem)
      expect(answer.status).toBe(400)
      expect(answer.json.detail).toMatch(says)
    }
  })
})

test('the director key is made once, whoever asks first, and its private part is not shown', async () => {
  const fresh = await testApi()
  try {
    const answers = await Promise.all([1, 2, 3, 4].map(() => fresh.ask('GET', '/v1/director-keys')))
    const [first] = answers
    expect(first!.json.items).toHaveLength(1)
    for (const { json } of answers) expect(json).toEqual(first!.json)
    expect(first!.json.items[0].publicKey).toMatch(/^-----BEGIN PUBLIC KEY-----/)
    expect(first!.text).not.toContain('PRIVATE')
  } finally {
    await fresh.database.drop()
  }
})
