/** Which URLs webhooks may have. WHATWG URL has already made one spelling of all: 0x7f.1, 2130706433 and the like are 127.0.0.1. */
import { isIP } from 'node:net'
import { type AddressCheck, createAddressCheck, type NetworkRules } from './addresses.ts'

export interface UrlCheck {
  /** Why nothing can be sent to this URL, as far as it tells by itself: a name is resolved only when a connection is made. */
  refusal(url: string): string | undefined
  /** Why no connection is made to this address, for a URL of this port ('': the default of its scheme). */
  addressRefusal(address: string, port: string): string | undefined
}

/** A scan of ports through Castor would find little behind these. '': 443. */
const PORTS = ['', '8443']
/** All that settings can allow. */
const OPEN: NetworkRules = { allowPrivate: true, allowNetworks: [] }

/** `what`: what would go there, in words. */
export function createUrlCheck({ allowPrivate, allowNetworks }: NetworkRules, addresses: AddressCheck, what = 'webhooks'): UrlCheck {
  const What = `${what.slice(0, 1).toUpperCase()}${what.slice(1)}`
  /** Any port where a network is allowed by name; whether the address lies in one is seen when it is known. */
  const portRefusal = (port: string, isNamed: boolean): string | undefined =>
    allowPrivate || isNamed || PORTS.includes(port) ? undefined : `Port ${port} is not one that ${what} go to: use 443 or 8443`

  const addressRefusal: UrlCheck['addressRefusal'] = (address, port) =>
    addresses.refusal(address) ?? portRefusal(port, addresses.isNamed(address))

  return {
    addressRefusal,
    refusal(text) {
      if (!URL.canParse(text)) return `"${text}" is not a URL`
      const { protocol, hostname, port, username, password } = new URL(text)
      if (protocol !== 'https:' && !(protocol === 'http:' && allowPrivate))
        return protocol === 'http:' ? `${What} go over https only` : `${What} go over https, not ${protocol}`
      if (username !== '' || password !== '')
        return 'A URL with a user name or password in it is not sent to: say how to authenticate in the webhook’s settings'
      const literal = literalAddress(hostname)
      return literal === undefined ? portRefusal(port, allowNetworks.length > 0) : addressRefusal(literal, port)
    },
  }
}

/** Says of what a setting would allow whose setting refuses it: where processes are set otherwise, one accepts what another refuses. */
export function explainedCheck(process: string, urls: UrlCheck): UrlCheck {
  const open = createUrlCheck(OPEN, createAddressCheck(OPEN))
  const explained = (refusal: string | undefined, always: string | undefined) =>
    refusal === undefined || always !== undefined
      ? refusal
      : `${refusal} (the ${process} goes by its CASTOR_WEBHOOK_ALLOW_PRIVATE and CASTOR_WEBHOOK_ALLOW_NETWORKS, which must be the same for api, dispatcher and worker)`
  return {
    refusal: (url) => explained(urls.refusal(url), open.refusal(url)),
    addressRefusal: (address, port) => explained(urls.addressRefusal(address, port), open.addressRefusal(address, port)),
  }
}

function literalAddress(hostname: string): string | undefined {
  // By RFC 6761.
  if (/(^|\.)localhost\.?$/.test(hostname)) return '127.0.0.1'
  const address = hostname.replace(/^\[|\]$/g, '')
  return isIP(address) === 0 ? undefined : address
}
