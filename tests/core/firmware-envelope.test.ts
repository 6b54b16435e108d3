/** What signatures of firmware stand on: canonical JSON (RFC 8785), DSSE, and nothing that passes but what was signed. */
import { verify } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalJson, type Envelope, envelopeSchema, signEnvelope, verifiedPayload } from '../../twin-models/firmware/envelope.ts'
import { JOB_TYPE } from '../../twin-models/firmware/job.ts'
import { MANIFEST_TYPE, manifestSchema } from '../../twin-models/firmware/manifest.ts'
import { imageOf, jobOf, manifestOf, newKeyPair, signJob, signManifest } from '../support/signed-firmware.ts'

const key = newKeyPair()

describe('canonical JSON', () => {
  test('is that of RFC 8785, 3.2.2 and 3.2.4', () => {
    const value = JSON.parse(
      '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
    )
    const hex = `7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b3333333333333333332e33333333333333
      2c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e67223a22e282ac245c75303030665c6e4127425c225c5c5c5c5c222f227d`
    expect(Buffer.from(canonicalJson(value)).toString('hex')).toBe(hex.replace(/\s/g, ''))
  })

  test('sorts by UTF-16 code units, as RFC 8785, 3.2.3 shows', () => {
    const value = JSON.parse(
      '{"\\u20ac":"Euro Sign","\\r":"Carriage Return","\\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\\ud83d\\ude00":"Emoji: Grinning Face","\\u0080":"Control","\\u00f6":"Latin Small Letter O With Diaeresis"}',
    )
    const order = ['Carriage Return', 'One', 'Control', 'Latin Small Letter O With Diaeresis', 'Euro Sign', 'Emoji: Grinning Face']
    expect(Object.values(JSON.parse(canonicalJson(value)))).toEqual(expect.arrayContaining(order))
    expect([...canonicalJson(value).matchAll(/:"([^"]+)"/g)].map(([, text]) => text)).toEqual([...order, 'Hebrew Letter Dalet With Dagesh'])
  })

  // RFC 8785, appendix B.
  const numbers: Array<[bits: string, text: string]> = [
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['444b1ae4d6e2ef4f', '999999999999999900000'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['43143ff3c1cb0959', '1424953923781206.2'],
  ]
  for (const [bits, text] of numbers)
    test(`writes the double ${bits} as ${text}`, () => {
      expect(canonicalJson(Buffer.from(bits, 'hex').readDoubleBE())).toBe(text)
    })

  test('of what JSON cannot say is none', () => {
    expect(() => canonicalJson(undefined)).toThrow()
    expect(() => canonicalJson({ a: Number.NaN })).toThrow()
    expect(() => canonicalJson('\ud800')).toThrow()
  })
})

describe('an envelope', () => {
  const manifest = manifestOf(imageOf())
  const envelope = signManifest(manifest, key)

  test('signs the pre-authentication encoding of DSSE, as its specification shows it', () => {
    // From the DSSE protocol: PAE(type, body) = "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body.
    const published = 'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    const { signatures } = signEnvelope('http://example.com/HelloWorld', 'hello world', key.privateKey)
    expect(verify(null, Buffer.from(published), key.publicKey, Buffer.from(signatures[0]!.sig, 'base64'))).toBe(true)
  })

  test('counts bytes, not characters', () => {
    const { signatures } = signEnvelope('http://example.com/ö', '€', key.privateKey)
    const bytes = Buffer.from('DSSEv1 21 http://example.com/ö 3 €')
    expect(verify(null, bytes, key.publicKey, Buffer.from(signatures[0]!.sig, 'base64'))).toBe(true)
  })

  test('gives what was signed, byte for byte, to the key that signed it alone', () => {
    expect(verifiedPayload(envelope, MANIFEST_TYPE, key.publicKey)).toBe(canonicalJson(manifest))
    expect(verifiedPayload(envelope, MANIFEST_TYPE, newKeyPair().publicKey)).toBeUndefined()
  })

  test('of one kind of statement is none of another', () => {
    const job = signJob(jobOf(manifest, 0), key)
    expect(verifiedPayload(job, JOB_TYPE, key.publicKey)).toBeDefined()
    expect(verifiedPayload(job, MANIFEST_TYPE, key.publicKey)).toBeUndefined()
    expect(verifiedPayload({ ...job, payloadType: MANIFEST_TYPE }, MANIFEST_TYPE, key.publicKey)).toBeUndefined()
    // Nor by moving the border between the type and the payload.
    const moved = { ...envelope, payloadType: `${MANIFEST_TYPE} 1` }
    expect(verifiedPayload(moved, moved.payloadType, key.publicKey)).toBeUndefined()
  })

  test('with any bit flipped, in payload or signature, is worth nothing', () => {
    const flipped = (text: string, bit: number) => {
      const bytes = Buffer.from(text, 'base64')
      bytes[bit >> 3]! ^= 1 << (bit & 7)
      return bytes.toString('base64')
    }
    const [{ keyid, sig }] = envelope.signatures as [Envelope['signatures'][number]]
    const bitsOf = (text: string) => Buffer.from(text, 'base64').length * 8
    for (let bit = 0; bit < bitsOf(sig); bit++) {
      const changed = { ...envelope, signatures: [{ keyid, sig: flipped(sig, bit) }] }
      expect(verifiedPayload(changed, MANIFEST_TYPE, key.publicKey)).toBeUndefined()
    }
    fc.assert(
      fc.property(fc.nat({ max: bitsOf(envelope.payload) - 1 }), (bit) => {
        const changed = { ...envelope, payload: flipped(envelope.payload, bit) }
        expect(verifiedPayload(changed, MANIFEST_TYPE, key.publicKey)).toBeUndefined()
      }),
    )
  })

  test('has one signature, and no key id but that of its key', () => {
    const [signature] = envelope.signatures as [Envelope['signatures'][number]]
    const other = { ...signature, keyid: newKeyPair().id }
    expect(verifiedPayload({ ...envelope, signatures: [other] }, MANIFEST_TYPE, key.publicKey)).toBeUndefined()
    for (const signatures of [[], [signature, other], [{ ...signature, keyid: 'short' }]])
      expect(envelopeSchema.safeParse({ ...envelope, signatures }).success).toBe(false)
  })
})

describe('a manifest', () => {
  const right = manifestOf(imageOf())

  test('keeps members that this version does not know, at its top', () => {
    expect(manifestSchema.parse({ ...right, delta: { from: 'x' } })).toEqual({ ...right, delta: { from: 'x' } })
  })

  const wrong: Array<[what: string, changes: object]> = [
    ['of another type', { type: 'update-job' }],
    ['without a model', { model: undefined }],
    ['with a version that is no name', { version: '../1' }],
    ['with a counter of 0', { counter: 0 }],
    ['with a counter beyond what is counted', { counter: 2 ** 49 }],
    ['with a SHA-256 in upper case', { sha256: right.sha256.toUpperCase().replace(/^\d/, 'A') }],
    ['of nothing', { size: 0 }],
    ['with a prerequisite that nobody checks', { prerequisites: { minTemperature: 3 } }],
    ['with an empty list of versions to start from', { prerequisites: { from: [] } }],
    ['that expires some day', { expires: 'some day' }],
  ]
  for (const [what, changes] of wrong)
    test(`${what} is none`, () => {
      expect(manifestSchema.safeParse({ ...right, ...changes }).success).toBe(false)
    })
})
