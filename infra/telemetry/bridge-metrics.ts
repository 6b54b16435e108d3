/** What a bridge tells of itself, beyond what api/ingest/acceptor.ts counts of messages. */
import { metrics } from '@opentelemetry/api'
import type { DownlinkStore, OnSent } from '../../api/downlink.ts'
import type { Protocol } from '../../api/ingest/acceptor.ts'
import type { Commit } from '../../api/ingest/log.ts'

export interface BridgeGauges {
  connections: number
  /** Devices that wait over HTTP for what is pending. */
  polls: number
  /** Of firmware, under way. */
  downloads: number
  /** Waiting for their commit. */
  messages: number
  bytes: number
}

export function measureBridge() {
  const meter = metrics.getMeter('castor')
  const size = meter.createHistogram('castor_commit_messages', {
    description: 'Messages in one commit into the ingest log',
    advice: { explicitBucketBoundaries: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000] },
  })
  const seconds = meter.createHistogram('castor_commit_seconds', {
    description: 'Time of one commit into the ingest log',
    unit: 's',
    advice: { explicitBucketBoundaries: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
  })
  const sent = meter.createCounter('castor_downlink_sent_total', {
    description: 'Desired states, commands, jobs of updates and cancels sent to devices',
  })
  const repeated = meter.createCounter('castor_downlink_repeated_total', { description: 'Of these, those that were sent before' })
  const claimed = meter.createCounter('castor_downlink_claimed_total', {
    description: 'Desired states, commands and jobs of updates claimed, to be sent',
  })
  const downloaded = meter.createCounter('castor_firmware_download_bytes_total', { description: 'Firmware sent to devices', unit: 'By' })
  return {
    downloaded: (bytes: number) => downloaded.add(bytes),
    sent:
      (protocol: Protocol): OnSent =>
      (kind, attempt) => {
        sent.add(1, { protocol, kind })
        if (attempt > 1) repeated.add(1, { protocol, kind })
      },
    counted: (store: DownlinkStore): DownlinkStore => ({
      ...store,
      async claim(asks) {
        const pending = await store.claim(asks)
        for (const { desired, commands, update } of pending.values()) claimed.add((desired ? 1 : 0) + commands.length + (update ? 1 : 0))
        return pending
      },
    }),
    committed(_commit: Commit, messages: number, milliseconds: number): void {
      size.record(messages)
      seconds.record(milliseconds / 1000)
    },
    observe(read: () => BridgeGauges): void {
      const connections = meter.createObservableGauge('castor_mqtt_connections', { description: 'MQTT connections of devices' })
      const polls = meter.createObservableGauge('castor_long_polls', { description: 'Devices that wait over HTTP for what is pending' })
      const downloads = meter.createObservableGauge('castor_firmware_downloads', { description: 'Downloads of firmware under way' })
      const messages = meter.createObservableGauge('castor_append_queue_messages', { description: 'Messages that wait for their commit' })
      const bytes = meter.createObservableGauge('castor_append_queue_bytes', {
        description: 'Bytes that wait for their commit',
        unit: 'By',
      })
      meter.addBatchObservableCallback(
        (result) => {
          const now = read()
          result.observe(connections, now.connections)
          result.observe(polls, now.polls)
          result.observe(downloads, now.downloads)
          result.observe(messages, now.messages)
          result.observe(bytes, now.bytes)
        },
        [connections, polls, downloads, messages, bytes],
      )
    },
  }
}
