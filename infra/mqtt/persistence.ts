/**
 * What aedes asks of its persistence, for a broker whose sessions hold nothing (docs/architecture.md §7): only the ids of QoS 2 messages
 * that wait for their PUBREL, and these stand in our session, where `authorizePublish` needs them before aedes does. PUBACK of the device
 * comes by here too: aedes forgets a packet by it, which is ours (outgoing.ts).
 */
import { Readable } from 'node:stream'
import type { Client } from 'aedes'

interface Numbered {
  messageId?: number
}

export function sessionlessPersistence(
  received: (client: Client) => Set<number> | undefined,
  acknowledged: (client: Client, messageId: number) => void,
) {
  const nothing = async (): Promise<void> => {}
  const none = async (): Promise<never[]> => []
  return {
    async setup(): Promise<void> {},
    /** Rejects when it is not there: that is how aedes asks. */
    async incomingGetPacket(client: Client, packet: Numbered): Promise<Numbered> {
      if (received(client)?.has(packet.messageId!)) return packet
      throw new Error('no such packet')
    },
    incomingStorePacket: nothing,
    async incomingDelPacket(client: Client, packet: Numbered): Promise<void> {
      received(client)?.delete(packet.messageId!)
    },
    cleanIncoming: nothing,
    storeRetained: nothing,
    createRetainedStreamCombi: () => Readable.from([]),
    addSubscriptions: nothing,
    removeSubscriptions: nothing,
    cleanSubscriptions: nothing,
    subscriptionsByClient: none,
    subscriptionsByTopic: none,
    outgoingEnqueue: nothing,
    outgoingEnqueueCombi: nothing,
    outgoingUpdate: nothing,
    async outgoingClearMessageId(client: Client, packet: Numbered): Promise<void> {
      acknowledged(client, packet.messageId!)
    },
    outgoingStream: () => Readable.from([]),
    putWill: nothing,
    delWill: nothing,
    streamWill: () => Readable.from([]),
    destroy: nothing,
  }
}
