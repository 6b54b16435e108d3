/** What Castor signs, as PyPI's `standardwebhooks` sees it. */
import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { webhookBody, webhookEvent } from '../../api/webhooks/body.ts'
import { newSecret, signatureHeaders } from '../../api/webhooks/signature.ts'
import { missingPythonPackage } from '../support/needs.ts'

const VERIFY = `
import json, sys
from standardwebhooks import Webhook, WebhookVerificationError
def said(request):
    try:
        return {"event": Webhook(request["secret"]).verify(request["body"], request["headers"])}
    except WebhookVerificationError as error:
        return {"refused": str(error)}
json.dump([said(request) for request in json.load(sys.stdin)], sys.stdout)
`

interface Request {
  secret: string
  body: string
  headers: { [name: string]: string }
}

const now = () => Math.floor(Date.now() / 1000)
const signed = (id: string, body: string, secrets: string[]) => signatureHeaders({ id, timestamp: now(), body }, secrets)

function verified(requests: Request[]): unknown[] {
  const { status, stdout, stderr } = spawnSync('python3', ['-c', VERIFY], { input: JSON.stringify(requests), encoding: 'utf8' })
  expect(status, stderr).toBe(0)
  return JSON.parse(stdout)
}

describe.skipIf(missingPythonPackage('standardwebhooks'))('PyPI’s standardwebhooks (needs python3 with it)', () => {
  test('takes what Castor signs, in both forms and whatever is in it', () => {
    const texts = fc.sample(fc.string({ unit: 'grapheme' }), { numRuns: 200, seed: 5 })
    const requests = texts.flatMap((text, position) => {
      const row = { position, at: 1_795_728_677_073, tenant: 'demo', device: 't-1', revision: 1, kind: 'device-event' }
      const event = webhookEvent({ ...row, event: JSON.stringify({ at: 1, name: 'said', ts: 1, data: text }), cause: '{"by":"message"}' })
      return (['standard', 'cloudevents'] as const).map((form) => {
        const { body } = webhookBody(event, form)
        const secret = newSecret()
        return { secret, body, headers: signed(event.id, body, [secret]) }
      })
    })
    expect(verified(requests)).toEqual(requests.map(({ body }) => ({ event: JSON.parse(body) })))
  })

  test('takes either secret while one replaces the other, and refuses a third, other bytes and an old timestamp', () => {
    const [newer, older, other] = [newSecret(), newSecret(), newSecret()]
    const headers = signed('evt_1', '{}', [newer, older])
    const old = signatureHeaders({ id: 'evt_1', timestamp: now() - 400, body: '{}' }, [newer])
    const requests = [
      { secret: newer, body: '{}', headers },
      { secret: older, body: '{}', headers },
      { secret: other, body: '{}', headers },
      { secret: newer, body: '{} ', headers },
      { secret: newer, body: '{}', headers: old },
    ]
    const refused = { refused: 'No matching signature found' }
    expect(verified(requests)).toEqual([{ event: {} }, { event: {} }, refused, refused, { refused: 'Message timestamp too old' }])
  })
})
