/**
 * Which addresses webhooks may go to. Castor stands inside a network that its tenants do not: a URL of theirs must not reach what only
 * Castor can reach. Special addresses are those of the registries of IANA (RFC 6890), and of cloud providers' metadata services.
 * docs/decisions/0013 says why this is not a package.
 */
import { BlockList, isIP } from 'node:net'

export interface NetworkRules {
  /** Private networks and loopback too (over http and to any port: outbound.ts). */
  allowPrivate: boolean
  /** Networks of one's own that may be reached all the same, like 10.20.0.0/16. */
  allowNetworks: readonly string[]
}

export interface AddressCheck {
  /** Why nothing goes to this address. Undefined: it may. Anything that is no address is refused. */
  refusal(address: string): string | undefined
  /** Whether it lies in a network that is allowed by name. */
  isNamed(address: string): boolean
}

/** Throws when a network is not one, and says how to write it. `what`: what would go there, in words. */
export function createAddressCheck({ allowPrivate, allowNetworks }: NetworkRules, what = 'webhooks'): AddressCheck {
  const named = new BlockList()
  for (const network of allowNetworks) addNetwork(named, network)
  const isNamed = (address: string) => has(named, plainAddress(address))
  return {
    isNamed,
    refusal(address) {
      const plain = plainAddress(address)
      const special = specialUse(plain)
      if (!special) return undefined
      if (special.opens && (allowPrivate || isNamed(plain))) return undefined
      return `${address} is ${special.use}: ${what} do not go there`
    },
  }
}

interface SpecialUse {
  use: string
  /** It can be allowed. */
  opens: boolean
}

const opens = (use: string, ...networks: string[]) => ({ use, opens: true, networks: listOf(networks) })
const closed = (use: string, ...networks: string[]) => ({ use, opens: false, networks: listOf(networks) })

/** The first that holds an address counts. */
const SPECIAL = [
  closed(
    'the metadata service of a cloud provider',
    ...['169.254.169.254/32', '169.254.170.2/32', '169.254.170.23/32', '100.100.100.200/32', '168.63.129.16/32', '192.0.0.192/32'],
    ...['fd00:ec2::254/128', 'fd00:ec2::23/128', 'fd20:ce::254/128'],
  ),
  opens('loopback', '127.0.0.0/8', '::1/128'),
  opens('in a private network', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'),
  opens('behind a carrier’s address translation', '100.64.0.0/10'),
  opens('in a network for benchmarks', '198.18.0.0/15', '2001:2::/48'),
  closed('no address of a host', '0.0.0.0/8', '::/128'),
  closed('link-local', '169.254.0.0/16', 'fe80::/10'),
  closed('a multicast address', '224.0.0.0/4', 'ff00::/8'),
  closed('in a network for documentation', '192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '2001:db8::/32', '3fff::/20'),
  closed('an IPv4 address in disguise (6to4)', '2002::/16'),
  // Teredo is among them.
  closed('in a network for protocols', '192.0.0.0/24', '192.88.99.0/24', '2001::/23'),
  closed('reserved', '240.0.0.0/4'),
]
/** What is handed out of IPv6; the rest is reserved. */
const GLOBAL_IPV6 = listOf(['2000::/3'])

function specialUse(address: string): SpecialUse | undefined {
  const special = SPECIAL.find(({ networks }) => has(networks, address))
  if (special) return special
  if (isIP(address) === 4 || has(GLOBAL_IPV6, address)) return undefined
  return { use: isIP(address) === 0 ? 'no address' : 'reserved', opens: false }
}

/** Without a zone; an IPv4 address that is mapped into IPv6, or translated from it (NAT64), as itself. */
function plainAddress(address: string): string {
  const [plain = ''] = address.split('%')
  if (isIP(plain) !== 6) return plain
  // The one spelling of it that URLs have.
  const written = new URL(`https://[${plain}]`).hostname.slice(1, -1)
  const [, high = '0', low] = /^(?:::ffff:|64:ff9b::)(?:([\da-f]+):)?([\da-f]*)$/.exec(written) ?? []
  if (low === undefined) return written
  const bits = Number.parseInt(high, 16) * 0x1_0000 + Number.parseInt(low || '0', 16)
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join('.')
}

function has(networks: BlockList, address: string): boolean {
  const version = isIP(address)
  return version !== 0 && networks.check(address, version === 4 ? 'ipv4' : 'ipv6')
}

function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) addNetwork(list, network)
  return list
}

function addNetwork(list: BlockList, network: string): void {
  const [, address = '', prefix = ''] = /^([^/%]+)\/(\d{1,3})$/.exec(network) ?? []
  const version = isIP(address)
  if (version === 0 || Number(prefix) > (version === 4 ? 32 : 128))
    throw new Error(`"${network}" is not a network. Write it like 10.20.0.0/16 or fd12:3456::/48`)
  list.addSubnet(address, Number(prefix), version === 4 ? 'ipv4' : 'ipv6')
}
