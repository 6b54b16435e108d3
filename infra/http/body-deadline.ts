/**
 * The body of a request has to be there in time, so that nobody holds connections by sending slowly: an upload has its own time, all else the
 * usual. Node knows one time for all requests of a server, which is to be the longer of the two.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'

export function limitBodies(server: Server, usualMs: number, isUpload: (request: IncomingMessage) => boolean): void {
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    const hasBody = request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined
    if (!hasBody || isUpload(request)) return
    const timer = setTimeout(() => {
      if (request.complete) return
      // As Node does it.
      if (!response.headersSent) request.socket.write('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n')
      request.socket.destroySoon()
    }, usualMs).unref()
    request.once('close', () => clearTimeout(timer))
  })
}
