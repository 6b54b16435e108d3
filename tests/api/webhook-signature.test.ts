/** Signatures against the vector of the specification, and as the receivers' own package sees them. */
import fc from 'fast-check'
import { Webhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import { webhookBody, webhookEvent } from '../../api/webhooks/body.ts'
import { newSecret, signatureHeaders } from '../../api/webhooks/signature.ts'

const vector = {
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  signed: { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestamp: 1614265330, body: '{"test": 2432232314}' },
  signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
}
const now = () => Math.floor(Date.now() / 1000)

test('the published vector of Standard Webhooks is signed as published', () => {
  expect(signatureHeaders(vector.signed, [vector.secret])).toEqual({
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': vector.signature,
  })
})

describe('the package standardwebhooks', () => {
  test('takes what is signed, whatever is in it', () => {
    fc.assert(
      fc.property(fc.json(), fc.nat(), (body, position) => {
        const secret = newSecret()
        const headers = signatureHeaders({ id: `evt_${position}`, timestamp: now(), body }, [secret])
        expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body))
      }),
    )
  })

  test('signs the same', () => {
    const { id, timestamp, body } = vector.signed
    expect(new Webhook(vector.secret).sign(id, new Date(timestamp * 1000), body)).toBe(vector.signature)
  })

  test('takes either secret while one replaces the other, and no third', () => {
    const [newer, older] = [newSecret(), newSecret()]
    const headers = signatureHeaders({ id: 'evt_1', timestamp: now(), body: '{}' }, [newer, older])
    expect(headers['webhook-signature'].split(' ')).toHaveLength(2)
    expect(new Webhook(newer).verify('{}', headers)).toEqual({})
    expect(new Webhook(older).verify('{}', headers)).toEqual({})
    expect(() => new Webhook(newSecret()).verify('{}', headers)).toThrow('No matching signature')
  })

  test('takes the bytes of both forms, and no other bytes', () => {
    const secret = newSecret()
    const row = { position: 12, at: 1_795_728_677_073, tenant: 'demo', device: 't-1', revision: 1, kind: 'device-event' }
    const event = webhookEvent({ ...row, event: '{"at":1,"name":"ü","ts":1,"data":"\\u2028"}', cause: '{"by":"message"}' })
    for (const form of ['standard', 'cloudevents'] as const) {
      const { body } = webhookBody(event, form)
      const headers = signatureHeaders({ id: event.id, timestamp: now(), body }, [secret])
      expect(new Webhook(secret).verify(Buffer.from(body), headers)).toEqual(JSON.parse(body))
      expect(() => new Webhook(secret).verify(`${body} `, headers)).toThrow('No matching signature')
    }
  })
})

describe('a secret', () => {
  test('is whsec_ and 32 random bytes', () => {
    const secret = newSecret()
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
    expect(newSecret()).not.toBe(secret)
  })

  test.each([
    '',
    'whsec_',
    'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
    'whsec_c2hvcnQ=',
    'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa!w',
    `whsec_${Buffer.alloc(65).toString('base64')}`,
  ])('%j is refused, and what to do is said', (secret) => {
    expect(() => signatureHeaders(vector.signed, [secret])).toThrow('must be whsec_ and the base64 of 24 to 64 bytes. Rotate it')
  })

  test('must be there: nothing is sent unsigned', () => {
    expect(() => signatureHeaders(vector.signed, [])).toThrow('A webhook without a secret cannot be signed')
  })
})
