/** Reason of a rejected webhook, and what to do. */
export interface Rejection {
  what: string;
  todo: string;
}

const known: Record<string, (iss: string | null) => Rejection> = {
  no_token: () => ({
    what: 'No token. LiveKit always sends one, so this was not LiveKit, or a proxy removed it.',
    todo: 'If there is a proxy in between, let it pass the Authorization header on.',
  }),
  malformed: () => ({
    what: 'Invalid token.',
    todo: 'Check that only LiveKit posts to this address, and that no proxy sets its own Authorization header.',
  }),
  algorithm: () => ({
    what: 'The token has an algorithm that LiveKit does not use.',
    todo: 'This was not LiveKit. If you sent it, sign with HS256.',
  }),
  unknown_key: (iss) => ({
    what: `It was signed with the key ${iss ?? 'of a name it did not tell'}, which no project here has.`,
    todo: 'Give that key and its secret to a project in roomwatch.toml, or set webhook.api_key in livekit.yaml to a key that Roomwatch has.',
  }),
  signature: (iss) => ({
    what: `The key ${iss ?? ''} is known, but its secret does not match.`,
    todo: 'Compare the secret below keys: in livekit.yaml with the one Roomwatch was given. A trailing space or line break counts.',
  }),
  expired: () => ({
    what: 'The token had expired on arrival.',
    todo: 'LiveKit signs for five minutes: compare the clocks of both machines, and look for a queue in between.',
  }),
  not_yet_valid: () => ({
    what: 'The token is not valid yet: the clocks of LiveKit and Roomwatch differ.',
    todo: 'Synchronise the clocks of both machines with NTP.',
  }),
  too_long: () => ({
    what: 'The token is valid for more than 24 hours. Tokens of LiveKit are not.',
    todo: 'If you sent it, sign for a shorter time. Otherwise it may be a replay attack.',
  }),
  other_body: () => ({
    what: 'The body is not the signed one: it was changed on the way.',
    todo: 'Let the proxy pass the body on unchanged. Re-encoded JSON breaks the signature.',
  }),
  no_such_route: () => ({
    what: 'It was posted to a wrong path below /api/webhooks.',
    todo: 'Copy the URL below urls: in livekit.yaml from this page. It ends in /api/webhooks/livekit, without a slash.',
  }),
  method_not_allowed: () => ({
    what: 'It was not a POST. A redirect turns a POST into a GET.',
    todo: 'Give LiveKit the URL to which a proxy redirects, usually the one with https.',
  }),
  foreign_host: () => ({
    what: 'It was posted to a wrong path below /api/webhooks, under another name than localhost.',
    todo: 'Copy the URL below urls: in livekit.yaml from this page. It ends in /api/webhooks/livekit, without a slash.',
  }),
  foreign_origin: () => ({
    what: 'A page of another site posted it to a wrong path below /api/webhooks.',
    todo: 'This was not LiveKit.',
  }),
  body_too_large: () => ({
    what: 'The body was larger than max_webhook_bytes.',
    todo: 'Raise max_webhook_bytes. LiveKit does not send this event again.',
  }),
  body_timeout: () => ({
    what: 'The body did not arrive in time.',
    todo: 'Look at the network between LiveKit and Roomwatch. LiveKit sends this event again.',
  }),
  body_incomplete: () => ({
    what: 'The connection ended before the body did.',
    todo: 'Look at the network and the proxy between LiveKit and Roomwatch.',
  }),
  bad_body: () => ({
    what: 'The body is signed, but it is not an event of LiveKit.',
    todo: 'If you sent it: it must be a JSON object with `event`.',
  }),
  not_durable: () => ({
    what: 'The event could not be stored.',
    todo: 'See the log of the server. LiveKit sends this event again.',
  }),
  other_use: () => ({
    what: 'The token is an access token, which does not sign a body.',
    todo: 'Send webhooks with LiveKit’s own webhook tokens.',
  }),
};

export const explainRejection = (reason: string, iss: string | null): Rejection =>
  known[reason]?.(iss) ?? {
    what: `It was refused: ${reason.replaceAll('_', ' ')}.`,
    todo: 'See the log of the server.',
  };
