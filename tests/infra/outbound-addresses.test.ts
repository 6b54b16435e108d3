/** Where webhooks may go: tables of addresses and URLs. */
import { describe, expect, test } from 'vitest'
import { createAddressCheck } from '../../infra/http/addresses.ts'
import { createUrlCheck } from '../../infra/http/url-check.ts'

const closed = { allowPrivate: false, allowNetworks: [] }
const open = { allowPrivate: true, allowNetworks: [] }
const named = { allowPrivate: false, allowNetworks: ['10.20.0.0/16', 'fd12:3456::/32', '169.254.0.0/16'] }

function urlRefusal(url: string, rules: typeof named | typeof closed = closed): string | undefined {
  return createUrlCheck(rules, createAddressCheck(rules)).refusal(url)
}

/** Refused always, or unless private networks are allowed. */
const ADDRESSES: Array<[address: string, use: string, 'always' | 'unless allowed']> = [
  ['10.0.0.1', 'in a private network', 'unless allowed'],
  ['10.255.255.255', 'in a private network', 'unless allowed'],
  ['172.16.0.1', 'in a private network', 'unless allowed'],
  ['172.31.255.254', 'in a private network', 'unless allowed'],
  ['192.168.1.1', 'in a private network', 'unless allowed'],
  ['fc00::1', 'in a private network', 'unless allowed'],
  ['fdff:ffff::1', 'in a private network', 'unless allowed'],
  ['127.0.0.1', 'loopback', 'unless allowed'],
  ['127.255.255.255', 'loopback', 'unless allowed'],
  ['::1', 'loopback', 'unless allowed'],
  ['0:0:0:0:0:0:0:1', 'loopback', 'unless allowed'],
  ['100.64.0.1', 'behind a carrier’s address translation', 'unless allowed'],
  ['100.127.255.255', 'behind a carrier’s address translation', 'unless allowed'],
  ['198.18.0.1', 'in a network for benchmarks', 'unless allowed'],
  ['198.19.255.255', 'in a network for benchmarks', 'unless allowed'],
  ['2001:2::1', 'in a network for benchmarks', 'unless allowed'],
  ['169.254.169.254', 'the metadata service of a cloud provider', 'always'],
  ['169.254.170.2', 'the metadata service of a cloud provider', 'always'],
  ['100.100.100.200', 'the metadata service of a cloud provider', 'always'],
  ['168.63.129.16', 'the metadata service of a cloud provider', 'always'],
  ['192.0.0.192', 'the metadata service of a cloud provider', 'always'],
  ['fd00:ec2::254', 'the metadata service of a cloud provider', 'always'],
  ['fd00:0ec2:0:0::0:254', 'the metadata service of a cloud provider', 'always'],
  ['169.254.0.1', 'link-local', 'always'],
  ['fe80::1', 'link-local', 'always'],
  ['fe80::1%eth0', 'link-local', 'always'],
  ['febf::1', 'link-local', 'always'],
  ['0.0.0.0', 'no address of a host', 'always'],
  ['0.1.2.3', 'no address of a host', 'always'],
  ['::', 'no address of a host', 'always'],
  ['224.0.0.1', 'a multicast address', 'always'],
  ['239.255.255.250', 'a multicast address', 'always'],
  ['ff02::1', 'a multicast address', 'always'],
  ['192.0.2.1', 'in a network for documentation', 'always'],
  ['198.51.100.1', 'in a network for documentation', 'always'],
  ['203.0.113.1', 'in a network for documentation', 'always'],
  ['2001:db8::1', 'in a network for documentation', 'always'],
  ['3fff::1', 'in a network for documentation', 'always'],
  ['240.0.0.1', 'reserved', 'always'],
  ['255.255.255.255', 'reserved', 'always'],
  ['fec0::1', 'reserved', 'always'],
  ['4000::1', 'reserved', 'always'],
  ['5f00::1', 'reserved', 'always'],
  ['100::1', 'reserved', 'always'],
  ['192.0.0.1', 'in a network for protocols', 'always'],
  ['192.88.99.1', 'in a network for protocols', 'always'],
  // IPv4 in IPv6: mapped, compatible, translated, NAT64 (its own prefix and the local one), 6to4, Teredo.
  ['::ffff:10.0.0.1', 'in a private network', 'unless allowed'],
  ['::ffff:7f00:1', 'loopback', 'unless allowed'],
  ['0:0:0:0:0:ffff:127.0.0.1', 'loopback', 'unless allowed'],
  ['::ffff:169.254.169.254', 'the metadata service of a cloud provider', 'always'],
  ['::ffff:0.0.0.0', 'no address of a host', 'always'],
  ['::127.0.0.1', 'reserved', 'always'],
  ['::ffff:0:127.0.0.1', 'reserved', 'always'],
  ['64:ff9b::10.0.0.1', 'in a private network', 'unless allowed'],
  ['64:ff9b::a9fe:a9fe', 'the metadata service of a cloud provider', 'always'],
  ['64:ff9b::', 'no address of a host', 'always'],
  ['64:ff9b::1', 'no address of a host', 'always'],
  ['64:ff9b:1::a00:1', 'reserved', 'always'],
  ['2002:7f00:1::', 'an IPv4 address in disguise (6to4)', 'always'],
  ['2002:808:808::1', 'an IPv4 address in disguise (6to4)', 'always'],
  ['2001::1', 'in a network for protocols', 'always'],
  ['2001:0:4136:e378:8000:63bf:3fff:fdd2', 'in a network for protocols', 'always'],
  ['', 'no address', 'always'],
  ['localhost', 'no address', 'always'],
  ['1.2.3', 'no address', 'always'],
]

const PUBLIC = [
  ...['8.8.8.8', '1.1.1.1', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '126.255.255.255', '128.0.0.1'],
  ...['169.253.255.255', '169.255.0.0', '172.15.255.255', '172.32.0.0', '192.167.255.255', '192.169.0.0', '198.17.255.255', '198.20.0.0'],
  ...['223.255.255.255', '168.63.129.15', '2606:4700:4700::1111', '2001:4860:4860::8888', '2a00:1450:4001::1', '2001:200::1', '2003::1'],
  ...['::ffff:8.8.8.8', '64:ff9b::8.8.8.8', '64:ff9b::808:808'],
]

describe('an address', () => {
  test.each(ADDRESSES)('%j, %s, is refused %s', (address, use, when) => {
    const refusal = `${address} is ${use}: webhooks do not go there`
    expect(createAddressCheck(closed).refusal(address)).toBe(refusal)
    expect(createAddressCheck(open).refusal(address)).toBe(when === 'always' ? refusal : undefined)
  })

  test.each(PUBLIC)('%s is public', (address) => {
    for (const rules of [closed, open, named]) expect(createAddressCheck(rules).refusal(address)).toBeUndefined()
  })

  test.each([
    ['10.20.0.1', true],
    ['10.20.255.255', true],
    ['::ffff:10.20.0.1', true],
    ['fd12:3456:789a::1', true],
    ['10.21.0.0', false],
    ['10.19.255.255', false],
    ['fd12:3457::1', false],
    ['192.168.0.1', false],
    ['127.0.0.1', false],
    // Named, and never to be had all the same.
    ['169.254.169.254', false],
    ['169.254.1.1', false],
  ])('%s beside networks that are allowed by name may be reached: %s', (address, may) => {
    expect(createAddressCheck(named).refusal(address) === undefined).toBe(may)
  })

  test.each(['10.0.0.0', '10.0.0.0/33', 'fd00::/129', '10.0.0/8', 'erp.example.com/8', '/8', '10.0.0.0/-1', '10.0.0.0/8,10.1.0.0/16', ''])(
    'is in no network written as %j, and the words say how to write one',
    (network) => {
      const rules = { allowPrivate: false, allowNetworks: [network] }
      expect(() => createAddressCheck(rules)).toThrow(`"${network}" is not a network. Write it like 10.20.0.0/16`)
    },
  )
})

/** Without their scheme, which is https. */
const SPELLINGS: Array<[host: string, reads: string]> = [
  ['127.1', '127.0.0.1 is loopback'],
  ['0x7f.1', '127.0.0.1 is loopback'],
  ['0x7f000001', '127.0.0.1 is loopback'],
  ['2130706433', '127.0.0.1 is loopback'],
  ['017700000001', '127.0.0.1 is loopback'],
  ['0177.0.0.01', '127.0.0.1 is loopback'],
  ['127.0.0.1.', '127.0.0.1 is loopback'],
  ['①②⑦.⓪.⓪.①', '127.0.0.1 is loopback'],
  ['１２７.０.０.１', '127.0.0.1 is loopback'],
  ['127。0。0。1', '127.0.0.1 is loopback'],
  ['%31%32%37.0.0.1', '127.0.0.1 is loopback'],
  ['localhost', '127.0.0.1 is loopback'],
  ['LOCALHOST', '127.0.0.1 is loopback'],
  ['localhost.', '127.0.0.1 is loopback'],
  ['a.localhost', '127.0.0.1 is loopback'],
  ['0', '0.0.0.0 is no address of a host'],
  ['0xa9fea9fe', '169.254.169.254 is the metadata service of a cloud provider'],
  ['[::1]', '::1 is loopback'],
  ['[0000:0::1]', '::1 is loopback'],
  ['[::ffff:127.0.0.1]', '::ffff:7f00:1 is loopback'],
  ['[::FFFF:7F00:0001]', '::ffff:7f00:1 is loopback'],
  ['[64:ff9b::127.0.0.1]', '64:ff9b::7f00:1 is loopback'],
  ['[fd00:ec2::254]', 'fd00:ec2::254 is the metadata service of a cloud provider'],
]

describe('a URL', () => {
  test.each(SPELLINGS)('of %s is refused: %s', (host, reads) => {
    expect(urlRefusal(`https://${host}/hook`)).toBe(`${reads}: webhooks do not go there`)
  })

  const https = 'https:/'
  const http = 'http:/'
  test.each<[url: string, rules: typeof named, refusal: RegExp | undefined]>([
    [`${https}/erp.example.com/hook?a=b`, closed, undefined],
    [`${https}/erp.example.com:443`, closed, undefined],
    [`${https}/erp.example.com:8443`, closed, undefined],
    [`${https}/8.8.8.8/`, closed, undefined],
    [`${https}/erp.example.com:22`, closed, /^Port 22 is not one that webhooks go to: use 443 or 8443$/],
    [`${https}/erp.example.com:50001`, open, undefined],
    [`${https}/erp.example.com:50001`, named, undefined],
    [`${https}/10.20.0.1:50001`, named, undefined],
    [`${https}/8.8.8.8:50001`, named, /^Port 50001/],
    [`${http}/erp.example.com`, closed, /^Webhooks go over https only$/],
    [`${http}/10.20.0.1`, named, /^Webhooks go over https only$/],
    [`${http}/erp.example.com`, open, undefined],
    [`${http}/localhost:3000/`, open, undefined],
    [`${http}/169.254.169.254/latest`, open, /metadata service/],
    [`${https}/user@erp.example.com`, open, /^A URL with a user name or password/],
    [`${https}/:secret@erp.example.com`, closed, /^A URL with a user name or password/],
    ['ftp://erp.example.com', open, /^Webhooks go over https, not ftp:$/],
    ['file:///etc/passwd', open, /^Webhooks go over https, not file:$/],
    ['erp.example.com', open, /is not a URL$/],
    [`${https}/1.2.3.256`, open, /is not a URL$/],
    [`${https}/erp.example.com:99999`, open, /is not a URL$/],
    ['', open, /is not a URL$/],
  ])('%s with %j: %s', (url, rules, refusal) => {
    if (refusal) expect(urlRefusal(url, rules)).toMatch(refusal)
    else expect(urlRefusal(url, rules)).toBeUndefined()
  })

  test('of a name is judged again by the address that the name has, and so is its port', () => {
    const check = createUrlCheck(named, createAddressCheck(named))
    expect(check.addressRefusal('10.20.0.1', '50001')).toBeUndefined()
    expect(check.addressRefusal('8.8.8.8', '50001')).toMatch(/^Port 50001/)
    expect(check.addressRefusal('10.0.0.1', '')).toMatch(/private network/)
    expect(check.addressRefusal('8.8.8.8', '')).toBeUndefined()
  })
})
