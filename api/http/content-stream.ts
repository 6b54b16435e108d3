/** The bytes of a file for a client: as fast as it takes them, and no faster than `take` allows. One that takes nothing is let go. */
import type { FirmwareContent } from '../firmware-ports.ts'

export interface ContentStreamOptions {
  /** Waits until so many bytes may go; aborted when the client has gone. */
  take?: (bytes: number, gone: AbortSignal) => Promise<void>
  /** Once, however it ends. */
  onEnd?: () => void
  /** A client that takes nothing for so long. */
  stallMs?: number
  /** Breaks its connection. Without it the stream fails, which the server makes a noise of. */
  hangUp?: () => void
}

const STALL_MS = 60_000

export function contentStream(content: FirmwareContent, options: ContentStreamOptions = {}): ReadableStream<Uint8Array> {
  const { take, onEnd, stallMs = STALL_MS, hangUp } = options
  const gone = new AbortController()
  let stall: NodeJS.Timeout | undefined

  function end(): void {
    if (gone.signal.aborted) return
    gone.abort()
    clearTimeout(stall)
    void content.close().catch(() => {})
    onEnd?.()
  }

  return new ReadableStream<Uint8Array>(
    {
      start: waitForClient,
      async pull(controller) {
        clearTimeout(stall)
        try {
          const bytes = await content.read()
          if (bytes) await take?.(bytes.length, gone.signal)
          if (gone.signal.aborted) return
          if (bytes) {
            controller.enqueue(bytes)
            waitForClient(controller)
          } else {
            end()
            controller.close()
          }
        } catch (error) {
          if (gone.signal.aborted) return
          end()
          throw error
        }
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  )

  function waitForClient(controller: ReadableStreamDefaultController<Uint8Array>): void {
    stall = setTimeout(() => {
      end()
      if (hangUp) hangUp()
      else controller.error(new Error(`The client took nothing of a file for ${stallMs / 1000} s`))
    }, stallMs)
  }
}
