import { describe, expect, test } from 'vitest'
import { ConfigError, readConfig } from '../../infra/config.ts'

describe('configuration', () => {
  test('without any variable everything has its documented default', () => {
    expect(readConfig({ HOME: '/home/x' })).toMatchObject({
      host: '127.0.0.1',
      httpPort: 8080,
      deviceHttpPort: 8081,
      deviceHttpsPort: 8444,
      mqttPort: 1883,
      mqttsPort: 8883,
      temporalPort: 7233,
      temporalUiPort: 8233,
      pgPort: 0,
      healthPort: 0,
      publicUrl: 'http://127.0.0.1:8080',
      cacheDir: '/home/x/.cache',
      temporalNamespace: 'default',
      logLevel: 'info',
      databaseUrl: undefined,
      adminKey: undefined,
      peers: [],
      telemetry: { exportMetrics: false, exportTraces: false },
    })
  })

  test('an empty variable counts as not set', () => {
    expect(readConfig({ DATABASE_URL: '', CASTOR_HTTP_PORT: '' })).toMatchObject({ databaseUrl: undefined, httpPort: 8080 })
  })

  test.each([
    [{ CASTOR_HTTP_PORT: '99999' }, /CASTOR_HTTP_PORT is "99999"/],
    [{ CASTOR_MQTT_PORT: 'mqtt' }, /CASTOR_MQTT_PORT is "mqtt"/],
    [{ CASTOR_LOG: 'loud' }, /CASTOR_LOG is "loud"/],
    [{ CASTOR_ALLOW_PLAINTEXT: 'perhaps' }, /CASTOR_ALLOW_PLAINTEXT/],
    [{ DATABASE_URL: 'mysql://x' }, /DATABASE_URL/],
    [{ TEMPORAL_ADDRESS: 'http://x:7233' }, /TEMPORAL_ADDRESS/],
    [{ CASTOR_PEERS: 'bridge' }, /CASTOR_PEERS/],
    [{ KAFKA_BROKERS: 'k:9092' }, /KAFKA_BROKERS: .*not built/],
    [{ MQTT_URL: 'mqtt://x' }, /MQTT_URL/],
    [{ MQTT_CA_FILE: 'ca.pem' }, /MQTT_CA_FILE: .*not built/],
    [{ CASTOR_SMTP_URL: 'http://mail.example.org', CASTOR_SMTP_FROM: 'a@example.org' }, /CASTOR_SMTP_URL: /],
    [{ CASTOR_SMTP_URL: 'smtp://mail.example.org' }, /CASTOR_SMTP_FROM is not set/],
    [{ CASTOR_SMTP_FROM: 'castor@example.org' }, /CASTOR_SMTP_URL is not set/],
    [{ CASTOR_SMTP_URL: 'smtp://mail.example.org', CASTOR_SMTP_FROM: 'Castor' }, /CASTOR_SMTP_FROM is "Castor"/],
    [{ CASTOR_SMTP_URL: 'smtp://mail.example.org', CASTOR_SMTP_FROM: 'a@example.org\nBcc: b@example.org' }, /CASTOR_SMTP_FROM/],
  ])('%o is refused by name', (env, message) => {
    expect(() => readConfig(env)).toThrow(message)
    expect(() => readConfig(env)).toThrow(ConfigError)
  })

  test('all that is wrong is told at once, and no secret is repeated', () => {
    const read = () => readConfig({ CASTOR_HTTP_PORT: '-1', CASTOR_ADMIN_KEY: 'short-secret', DATABASE_URL: 'nonsense:secret' })
    expect(read).toThrow(/CASTOR_HTTP_PORT[\s\S]*CASTOR_ADMIN_KEY[\s\S]*DATABASE_URL/)
    expect(read).not.toThrow(/secret/)
  })

  test('mail goes by a server and from an address, with or without a name', () => {
    const url = 'smtps://castor:secret@mail.example.org'
    for (const from of ['castor@example.org', 'Castor at work <castor@example.org>'])
      expect(readConfig({ CASTOR_SMTP_URL: url, CASTOR_SMTP_FROM: from })).toMatchObject({ smtpUrl: url, smtpFrom: from })
    expect(() => readConfig({ CASTOR_SMTP_URL: 'smtp:secret' })).not.toThrow(/secret/)
  })

  test('peers and addresses are taken apart', () => {
    const config = readConfig({ CASTOR_PEERS: 'api=http://127.0.0.1:1,bridge=http://127.0.0.1:2', CASTOR_HOST: '::1' })
    expect(config.peers).toEqual([
      { name: 'api', url: 'http://127.0.0.1:1' },
      { name: 'bridge', url: 'http://127.0.0.1:2' },
    ])
    expect(config.publicUrl).toBe('http://[::1]:8080')
  })
})
