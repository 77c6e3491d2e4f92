import { createHash } from 'node:crypto';
import { AccessToken } from 'livekit-server-sdk';
import { API_KEY, API_SECRET } from '../harness/livekit.js';
import { Roomwatch, userToml } from '../harness/roomwatch.js';

/** Number of parallel posts that keep a debug build busy without starving the browser. */
const AT_ONCE = 32;

/** Starts a Roomwatch without a LiveKit: a test posts its webhooks. `more` goes into its configuration. */
export const startWithoutLiveKit = (name: string, more = userToml('victor', 'viewer')) =>
  Roomwatch.start({
    name,
    // Nothing else answers for the rooms of the test.
    env: { ROOMWATCH_RECONCILE_SECS: '0' },
    config: `[[projects]]
name = "production"
keys = [{ key = "${API_KEY}", secret = "${API_SECRET}" }]
${more}`,
  });

/** Posts one event as LiveKit does: signed, with its own id. The key selects the project. */
export async function post(
  roomwatch: Pick<Roomwatch, 'webhookUrl'>,
  event: object,
  { key, secret } = { key: API_KEY, secret: API_SECRET },
): Promise<void> {
  const body = JSON.stringify({
    id: `EV_${crypto.randomUUID()}`,
    createdAt: String(Math.floor(Date.now() / 1_000)),
    ...event,
  });
  const token = new AccessToken(key, secret, { ttl: '5m' });
  token.sha256 = createHash('sha256').update(body).digest('base64');
  const answer = await fetch(roomwatch.webhookUrl, {
    method: 'POST',
    headers: { authorization: await token.toJwt(), 'content-type': 'application/webhook+json' },
    body,
  });
  if (answer.status !== 200) throw new Error(`webhook: ${answer.status} ${await answer.text()}`);
}

/** Posts many events, some in parallel. They begin in order. */
export async function postAll(roomwatch: Roomwatch, events: object[]): Promise<void> {
  const left = events.values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const event of left) await post(roomwatch, event);
    }),
  );
}

/** Returns a room whose sid is derived from its name. */
export const room = (name: string) => ({
  sid: `RM_${name}`,
  name,
  creationTimeMs: String(Date.now()),
  creationTime: String(Math.floor(Date.now() / 1_000)),
});

export const started = (name: string) => ({ event: 'room_started', room: room(name) });
export const finished = (name: string) => ({ event: 'room_finished', room: room(name) });
export const joined = (name: string, identity: string) => ({
  event: 'participant_joined',
  room: room(name),
  participant: {
    sid: `PA_${name}_${identity}`,
    identity,
    name: identity,
    state: 'ACTIVE',
    joinedAtMs: String(Date.now()),
    permission: { canPublish: true, canSubscribe: true, canPublishData: true },
  },
});

/** Posts a session in the past, in which everyone stays to its last second. `more` goes into its room. */
export async function meeting(
  roomwatch: Pick<Roomwatch, 'webhookUrl'>,
  name: string,
  begins: number,
  minutes: number,
  people: string[],
  { more = {}, reason = 'CLIENT_INITIATED' } = {},
): Promise<void> {
  const at = (millis: number) => ({ createdAt: String(Math.floor(millis / 1_000)) });
  const room = { sid: `RM_${name}`, name, creationTimeMs: String(begins), ...more };
  const person = (identity: string) => ({ sid: `PA_${name}_${identity}`, identity, joinedAtMs: String(begins) });
  await post(roomwatch, { event: 'room_started', room, ...at(begins) });
  for (const identity of people) {
    const participant = { ...person(identity), state: 'ACTIVE' };
    await post(roomwatch, { event: 'participant_joined', room, participant, ...at(begins) });
  }
  const ends = at(begins + minutes * 60_000);
  for (const identity of people) {
    const participant = { ...person(identity), state: 'DISCONNECTED', disconnectReason: reason };
    await post(roomwatch, { event: 'participant_left', room, participant, ...ends });
  }
  await post(roomwatch, { event: 'room_finished', room, ...ends });
}
