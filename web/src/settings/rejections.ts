/** Why a webhook was refused, and what to do about it, in the words of somebody who wants it to work. */
export interface Rejection {
  what: string;
  todo: string;
}

const known: Record<string, (iss: string | null) => Rejection> = {
  no_token: () => ({
    what: 'It carried no token. LiveKit always sends one, so this was not LiveKit, or a proxy took it away.',
    todo: 'If a proxy stands in between, let it pass the Authorization header on.',
  }),
  malformed: () => ({
    what: 'Its token is not one of LiveKit’s.',
    todo: 'Check that nothing but LiveKit posts to this address, and that no proxy writes its own Authorization header.',
  }),
  algorithm: () => ({
    what: 'Its token is signed in a way LiveKit never does.',
    todo: 'This is not LiveKit. If you sent it yourself, sign with HS256.',
  }),
  unknown_key: (iss) => ({
    what: `It was signed with the key ${iss ?? 'of a name it did not tell'}, which no project here has.`,
    todo: 'Give that key and its secret to a project in roomwatch.toml, or set webhook.api_key in livekit.yaml to a key that Roomwatch has.',
  }),
  signature: (iss) => ({
    what: `The key ${iss ?? ''} is known, but its secret here is another one.`,
    todo: 'Compare the secret below keys: in livekit.yaml with the one Roomwatch was given. A trailing space or line break counts.',
  }),
  expired: () => ({
    what: 'Its token had expired when it came.',
    todo: 'LiveKit signs for five minutes: compare the clocks of both machines, and look for a queue in between.',
  }),
  not_yet_valid: () => ({
    what: 'Its token is valid only later: the clocks of LiveKit and Roomwatch are apart.',
    todo: 'Synchronise the clocks of both machines with NTP.',
  }),
  too_long: () => ({
    what: 'Its token is valid for more than 24 hours, which LiveKit’s never are.',
    todo: 'If you sent it yourself, sign for less. Otherwise somebody may be replaying.',
  }),
  other_body: () => ({
    what: 'Its body is not the one that was signed: something changed it on the way.',
    todo: 'Let the proxy pass the body through byte for byte. Rewriting or re-encoding the JSON breaks the signature.',
  }),
  other_use: () => ({
    what: 'Its token is an access token and signs no body.',
    todo: 'Only LiveKit’s own webhook tokens open this door.',
  }),
};

export const explainRejection = (reason: string, iss: string | null): Rejection =>
  known[reason]?.(iss) ?? {
    what: `It was refused: ${reason.replaceAll('_', ' ')}.`,
    todo: 'The server’s log says more.',
  };
