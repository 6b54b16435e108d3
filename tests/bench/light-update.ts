/**
 * An update on a device of the bench: it believes every job, downloads nothing, and is back at once. What it does with one stands in the end of
 * the version: `-bad` cannot be installed on some, `-hold` is begun and never done.
 */

export interface LightFirmware {
  version: string
  sha256: string
}

export interface LightUpdates {
  /** Of the hello. */
  readonly firmware: LightFirmware
  /** A job, on `updates/{id}/job`. */
  take(id: string, payload: string): void
}

export interface LightDevice {
  firmware: LightFirmware
  /** Cannot install what is bad. */
  fails: boolean
  say(topic: string, payload: object): void
  /** Goes away when what it said last has arrived, and comes back. */
  reboot(): void
  /** Of a job that it will not do. */
  held(url: string): void
  /** A job that it has not done before. */
  begins(): void
}

export function createLightUpdates(device: LightDevice): LightUpdates {
  let firmware = device.firmware
  let last: { nonce: string; word: object } | undefined

  return {
    get firmware() {
      return firmware
    },
    take(id, payload) {
      const { job, url } = JSON.parse(payload) as { job: { payload: string }; url: string }
      const { nonce, firmware: wanted } = JSON.parse(Buffer.from(job.payload, 'base64').toString()) as {
        nonce: string
        firmware: LightFirmware
      }
      const say = (word: object) => {
        last = { nonce, word }
        device.say(`updates/${id}/status`, word)
      }
      if (last?.nonce === nonce) return say(last.word)
      device.begins()
      if (wanted.version.endsWith('-hold')) {
        say({ status: 'downloading', progress: 0 })
        device.held(url)
      } else if (wanted.version.endsWith('-bad') && device.fails) say({ status: 'failed', code: 'install-failed' })
      else {
        firmware = wanted
        say({ status: 'rebooting' })
        device.reboot()
      }
    },
  }
}
