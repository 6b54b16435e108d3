/** Links in messages about tickets: a page without any credential, script or trace, that changes nothing by being looked at. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TicketApi, ticketApi } from './test-tickets.ts'

let api: TicketApi
beforeAll(async () => {
  api = await ticketApi()
})
afterAll(() => api?.database.drop())

const look = (path: string, headers: Record<string, string> = {}) => api.ask('GET', path, { key: null, headers })
const post = (path: string, fields: Record<string, string> = {}, type = 'application/x-www-form-urlencoded') =>
  api.ask('POST', path, { key: null, body: new URLSearchParams(fields).toString(), headers: { 'content-type': type } })

describe('looking', () => {
  test('shows what is wrong where, since when, and what may be done, as plain HTML', async () => {
    const { id, device } = await api.opened()
    const page = await look(api.linkOf('ann'))
    expect(page.status).toBe(200)
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
    for (const words of [
      '<h1>Bearing wears out</h1>',
      device,
      'vibration',
      'Vibration is 9.1 mm/s',
      'notified',
      'I take it',
      'done as ann',
    ])
      expect(page.text).toContain(words)
    expect(page.text).not.toContain('<script')
    expect(page.text).not.toMatch(/\son\w+=|javascript:/i)
    expect(page.text).toMatch(/<li>.* UTC: ann is told/)
    expect((await api.show(id)).story).toHaveLength(2)
  })

  test('is kept by nobody, tells nobody its address, runs nothing and stands in no frame', async () => {
    await api.opened()
    const { headers, text } = await look(api.linkOf('ann'))
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('referrer-policy')).toBe('no-referrer')
    expect(headers.get('x-frame-options')).toBe('DENY')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    const policy = headers.get('content-security-policy')!
    expect(policy).toMatch(/^default-src 'none'; style-src 'sha256-[\w+/=]+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/)
    const style = /<style>([\s\S]*)<\/style>/.exec(text)![1]!
    const digest = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(style))).toString('base64')
    expect(policy).toContain(`'sha256-${digest}'`)
    expect(text).not.toMatch(/(src|href)=/)
  })

  test('changes nothing, however often scanners of mail do it', async () => {
    const { id } = await api.opened()
    const link = api.linkOf('ann')
    for (let n = 0; n < 5; n++) await look(link)
    expect((await api.ask('HEAD', link, { key: null })).status).toBe(200)
    const action = await look(`${link}/accept`)
    expect([action.status, action.headers.get('allow')]).toEqual([405, 'POST'])
    expect((await api.show(id)).waiting).toBeUndefined()
  })

  test('escapes all that others wrote', async () => {
    await api.opened({ title: '<b>"Bearing"</b> & \'co\'', text: '</p><script>alert(1)</script>\nSecond line' })
    const { text } = await look(api.linkOf('ann'))
    expect(text).toContain('<h1>&#60;b&#62;&#34;Bearing&#34;&#60;/b&#62; &#38; &#39;co&#39;</h1>')
    expect(text).toContain('&#60;script&#62;alert(1)&#60;/script&#62;<br>Second line')
  })

  test('with a token that is none, or not any more, says so and nothing else', async () => {
    await api.opened()
    const link = api.linkOf('ann')
    const invented = `/t/${randomBytes(32).toString('base64url')}`
    const answers = [await look(invented), await look('/t/short'), await post(`${invented}/accept`), await look(`${link}x`)]
    for (const { status, text, headers } of answers) {
      expect(status).toBe(404)
      expect(text).toContain('This link is not valid, or not any more.')
      expect(headers.get('cache-control')).toBe('no-store')
      expect(text).not.toContain('Bearing')
    }
    const twoWeeksLater = api.with({ now: () => Date.now() + 15 * 86_400_000 })
    expect((await twoWeeksLater.request(link)).status).toBe(404)
  })
})

describe('doing', () => {
  test('is done as who the message was sent to, and leads back to the page', async () => {
    const { id } = await api.opened()
    const link = api.linkOf('ann')
    const { text } = await look(link)
    const action = /<form method="post" action="([\w-]+\/accept)">/.exec(text)![1]!
    const there = new URL(action, `https://castor.example.com/base${link}`)
    expect(there.pathname).toBe(`/base${link}/accept`)
    const done = await post(`${link}/accept`, { note: 'On my way' })
    expect(done.status).toBe(303)
    const back = new URL(done.headers.get('location')!, `https://castor.example.com/base${link}/accept`)
    expect(back.pathname).toBe(`/base${link}`)
    const waiting = await look(link)
    expect(waiting.text).toContain('On its way to the ticket: accept.')
    expect(waiting.text).toContain('<meta http-equiv="refresh" content="2">')
    await api.work(id)
    const after = await look(link)
    expect(after.text).not.toContain('http-equiv')
    expect(after.text).toContain('I begin')
    expect((await api.show(id)).story.at(-1)).toMatchObject({
      what: 'accepted',
      by: 'ann',
      via: 'link',
      text: 'ann accepted it. “On my way”',
    })
  })

  test('its whole course, and what makes no sense is told on the page', async () => {
    const { id, alarms } = await api.opened()
    const link = api.linkOf('ann')
    const steps: Array<[string, Record<string, string>]> = [
      ['schedule', { at: new Date(Date.now() + 7_200_000).toISOString().slice(0, 16) }],
      ['start', {}],
      ['comment', { note: 'It is the bearing' }],
      ['done', { note: '' }],
      ['reopen', { note: 'Not yet' }],
      ['reassign', {}],
    ]
    for (const [action, fields] of steps) {
      expect([action, (await post(`${link}/${action}`, fields)).status]).toEqual([action, 303])
      await api.work(id)
    }
    const shown = await api.show(id)
    expect(shown).toMatchObject({ status: 'reassigned', relapses: 1, asked: { target: 'bob' } })
    expect(shown.story.filter(({ via }: { via: string }) => via === 'link').map(({ what }: { what: string }) => what)).toEqual([
      ...['scheduled', 'started', 'comment', 'done', 'reopened', 'reassigned'],
    ])
    await post(`${api.linkOf('bob')}/accept`)
    await api.work(id)
    const refused = await post(`${link}/accept`)
    expect(refused.status).toBe(409)
    expect(refused.text).toContain('<strong>That is not possible.</strong> bob has it: reassign it to take it over.')
    const retried = /action="([^"]+\/done)"/.exec(refused.text)![1]!
    expect(new URL(retried, `https://castor.example.com${link}/accept`).pathname).toBe(`${link}/done`)
    await alarms.clear()
  })

  test('takes only what a form sends, within bounds, and only what links are for', async () => {
    const { id } = await api.opened()
    const link = api.linkOf('ann')
    expect((await post(`${link}/accept`, {}, 'application/json')).status).toBe(415)
    expect((await post(`${link}/comment`, { note: 'x'.repeat(20_000) })).status).toBe(413)
    expect((await post(`${link}/comment`, { note: ' ' })).status).toBe(400)
    expect((await post(`${link}/comment`, { note: 'x'.repeat(1_001) })).status).toBe(400)
    expect((await post(`${link}/schedule`, { at: 'tomorrow' })).status).toBe(400)
    expect((await post(`${link}/cancel`)).status).toBe(404)
    expect((await post(`${link}/sell`)).status).toBe(404)
    expect((await post(link)).status).toBe(405)
    expect((await api.show(id)).waiting).toBeUndefined()
  })

  test('when the ticket is over there is nothing to be done, and the page says how it ended', async () => {
    const { id } = await api.opened()
    const link = api.linkOf('ann')
    await api.act(id, 'cancel', { note: 'It is scrapped' })
    await api.work(id)
    const { text } = await look(link)
    expect(text).toContain('admin cancelled it. “It is scrapped”')
    expect(text).not.toContain('<form')
    expect((await post(`${link}/accept`)).status).toBe(409)
  })
})

describe('too much', () => {
  test('of one link is refused, and that of another goes on', async () => {
    let now = Date.now()
    const app = api.with({ now: () => now })
    const look = (path: string) => app.request(path)
    await api.opened()
    const link = api.linkOf('ann')
    const statuses: number[] = []
    for (let n = 0; n < 62; n++) statuses.push((await look(link)).status)
    expect(statuses.slice(0, 60).every((status) => status === 200)).toBe(true)
    expect(statuses.slice(60)).toEqual([429, 429])
    expect((await look(link)).headers.get('retry-after')).toMatch(/^\d+$/)
    await api.opened()
    expect((await look(api.linkOf('ann'))).status).toBe(200)
    now += 60_000
    expect((await look(link)).status).toBe(200)
  })

  test('of tokens that somebody makes up is refused without a look at Postgres, while links that were used a moment ago go on', async () => {
    let asked = 0
    const app = api.with({
      ticketLinks: {
        find: async () => {
          asked++
          return undefined
        },
      },
    })
    const statuses: number[] = []
    for (let n = 0; n < 1_210; n++) statuses.push((await app.request(`/t/${randomBytes(32).toString('base64url')}`)).status)
    expect(statuses.filter((status) => status === 404)).toHaveLength(1_200)
    expect(statuses.slice(-10).every((status) => status === 429)).toBe(true)
    expect(asked).toBe(1_200)
  })
})
