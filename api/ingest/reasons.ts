/**
 * Why a message, or a part of it, became a dead letter. The device hears the same word on its `errors` topic. One line each, for
 * docs/protocol.md and for whoever reads GET /v1/dead-letters.
 */
export const REASONS = {
  'too-large': 'The payload is larger than 256 kB; only its first 4 kB are kept.',
  'invalid-utf8': 'The payload is not UTF-8.',
  'invalid-json': 'The payload is not JSON; the detail says where it breaks.',
  'invalid-text': 'A text holds U+0000 or half of a surrogate pair.',
  'not-finite': 'A number is NaN, infinite, or too large for 64 bits.',
  'too-deep': 'Objects and arrays are nested deeper than 32 levels.',
  'too-many-values':
    'The message holds more than 5,000 values, or as many elements (a report: 500 values or 200 refused paths); nothing of it is taken.',
  'value-too-long':
    'A text or a structured value is longer than 4,096 characters of JSON; a device event, a report and the output of a command may have 32,768.',
  'wrong-type': 'A value has another type than the model or this protocol asks for.',
  'invalid-value': 'A value has the right type but does not fit the model: a bound, a list of words, a shape.',
  'wrong-unit': 'A SenML record names another unit than the model.',
  'unknown-property': 'The model does not know the property, and refuses such.',
  'unknown-event': 'The model does not know the device event, and refuses such.',
  'invalid-name': 'A name does not begin with a letter or _, holds other characters than letters, digits, _ . -, or is longer than 128.',
  'reserved-name': 'The name means something else: id, ts, ageMs and values, or what every object has, like constructor.',
  'duplicate-name': 'A name stands twice, or twice with one time; the last one counts.',
  'unknown-field': 'A field that this kind of message does not have; the rest is taken where that makes sense.',
  'other-device': 'A SenML name is not one of the device itself.',
  'invalid-id': 'The message id does not match [A-Za-z0-9][A-Za-z0-9._:-]{0,127}; the message, or that element, is not taken.',
  'invalid-time': 'ts is neither RFC 3339 with a zone nor epoch milliseconds, or ageMs is not a number from 0.',
  'too-old': 'The time lies before the backfill limit of the model.',
  'wrong-model': 'The hello names another model than the one that the device is registered with; the rest of it is taken.',
  'unknown-topic': 'The topic is the device’s own but means nothing.',
  'unsupported-content-type': 'The content type is neither JSON nor SenML JSON.',
  'unknown-model': 'This Castor does not ship the model of the device.',
  'too-many-names': 'The device has more properties than it may (500), or its tenant uses more names than it may (10,000).',
  'unknown-command': 'The device has no command of that id.',
  'command-ended': 'The command had ended before; a last word on it is kept with it, and changes nothing.',
  'invalid-output': 'The output of a command does not fit its action in the model; the command ends failed with this code.',
  'unknown-update': 'The device has no update of that id.',
  'update-ended': 'The update had ended before; what is said of it changes nothing.',
  'inbox-full': 'More device events, reports or answers wait for the twin than it can hold.',
  'not-storable': 'It could not be stored in five attempts on its own; the detail says why.',
} as const satisfies { [reason: string]: string }

export type Reason = keyof typeof REASONS
