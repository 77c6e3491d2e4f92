// Records the webhooks and answers of a real livekit-server into fixtures/webhooks and fixtures/roomservice: `npm run capture`.
// The bytes stay as they were sent, except ids and secrets: these become fixed ones of the same length. Run it again for each
// new version of LiveKit, and review the difference.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import type { VideoGrant } from 'livekit-server-sdk';
import { joinInPage, launch, stage } from './harness/browser.js';
import { Cast } from './harness/cast.js';
import { LiveKit, mint } from './harness/livekit.js';
import { until } from './harness/wait.js';

const FIXTURES = join(import.meta.dirname, '..', 'fixtures');
const WEBHOOKS = join(FIXTURES, 'webhooks');
const ROOMSERVICE = join(FIXTURES, 'roomservice');
const VERSION = 'captured, livekit-server 1.13.5';
const ROOM = 'standup';

type Received = { event: string; text: string; json: any; headers: Record<string, unknown>; taken: boolean };
const received: Received[] = [];

const receiver = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const text = Buffer.concat(chunks).toString('utf8');
    const json = JSON.parse(text);
    received.push({ event: json.event, text, json, headers: request.headers, taken: false });
    console.log(
      `  <- ${json.event} ${json.room?.name} ${json.participant?.identity ?? ''} ${json.track?.source ?? ''} ${json.participant?.disconnectReason ?? ''}`,
    );
    response.end();
  });
});

/** Maps each real id or secret to its replacement in every fixture. */
const replaced = new Map<string, string>();
const counts = new Map<string, number>();
/** The first room and the first participant get the ids of the constructed bodies. */
const FIRST: Record<string, string> = { RM_: 'RM_hycFrzyc8LMX', PA_: 'PA_7mFqL2vXo9Ka' };

function stand(real: string): void {
  if (replaced.has(real)) return;
  const prefix = /^(TR_[A-Z]{2}|[A-Z]{2,3}_)/.exec(real)?.[0] ?? '';
  const count = (counts.get(prefix) ?? 0) + 1;
  counts.set(prefix, count);
  const number = String(count);
  const room = real.length - prefix.length;
  const chosen = count === 1 ? FIRST[prefix] : undefined;
  replaced.set(
    real,
    chosen ?? `${prefix}${'fixture'.slice(0, room - number.length).padEnd(room - number.length, '0')}${number}`,
  );
}

function redact(text: string): string {
  for (const [, password] of text.matchAll(/"turn(?:Password|_password)": ?"([^"]+)"/g)) {
    if (password && !password.startsWith('REDACT-ME'))
      replaced.set(password, `REDACT-ME-${'0'.repeat(password.length - 10)}`);
  }
  for (const [id] of text.matchAll(/\b(?:TR_[A-Z]{2}|RM_|PA_|EV_|DTR_)[A-Za-z0-9]{10,14}\b/g)) stand(id);
  for (const [token] of text.matchAll(/\beyJ[\w.-]+/g)) replaced.set(token, 'REDACT-ME-token');
  let out = text;
  for (const [real, fake] of replaced) out = out.replaceAll(real, fake);
  return out;
}

const rows: { file: string; origin: string; shows: string }[] = [];
const answers: { file: string; status: number; shows: string }[] = [];

/** Waits for the first matching webhook that is not a fixture yet, and makes it one. */
async function take(
  file: string,
  shows: string,
  event: string,
  fits: (json: any) => boolean = () => true,
): Promise<any> {
  const hit = await until(
    `${event} for ${file}`,
    () => received.find((r) => !r.taken && r.event === event && fits(r.json)),
    { within: 60_000 },
  );
  hit.taken = true;
  writeFileSync(join(WEBHOOKS, file), `${redact(hit.text)}\n`);
  rows.push({ file, origin: VERSION, shows });
  return hit.json;
}

const by = (identity: string) => (json: any) => json.participant?.identity === identity;

async function main(): Promise<void> {
  mkdirSync(WEBHOOKS, { recursive: true });
  mkdirSync(ROOMSERVICE, { recursive: true });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const address = receiver.address();
  if (!address || typeof address !== 'object') throw new Error('no port');
  const livekit = await LiveKit.start({
    webhooks: [`http://127.0.0.1:${address.port}/hook`],
    name: 'capture-livekit',
    yaml: 'room:\n  enable_remote_unmute: true\n',
  });
  const cast = await Cast.start(livekit, 'capture-cast');
  const doomed = await Cast.start(livekit, 'capture-doomed');
  const theatre = await stage();
  const browser = await launch();

  async function ask(file: string, shows: string, method: string, body: object, grant: VideoGrant, token?: string) {
    const answer = await livekit.twirp(method, body, grant, token);
    writeFileSync(join(ROOMSERVICE, file), `${redact(answer.text)}\n`);
    console.log(`${file}: ${answer.status} ${answer.text.slice(0, 150)}`);
    answers.push({ file, status: answer.status, shows: `\`${method}\` ${shows}` });
    return answer;
  }
  const admin = { roomAdmin: true, room: ROOM };

  try {
    await ask('list_rooms.empty.json', 'no room', 'RoomService/ListRooms', {}, { roomList: true });
    await ask(
      'create_room.json',
      'a new room',
      'RoomService/CreateRoom',
      { name: ROOM, metadata: JSON.stringify({ tenant: 'acme' }), empty_timeout: 300, departure_timeout: 20 },
      { roomCreate: true },
    );
    await take('room_started.json', 'CreateRoom over Twirp; full room', 'room_started');

    const page = await browser.newPage();
    await page.goto(theatre.url);
    await joinInPage(page, livekit.wsUrl, ROOM, 'alice', {
      name: 'Alice',
      metadata: JSON.stringify({ avatar: 'a.png' }),
      attributes: { role: 'host' },
    });
    await take(
      'participant_joined.json',
      'livekit-client in Chromium; name, metadata, attributes',
      'participant_joined',
      by('alice'),
    );
    await page.evaluate(() => (window as any).room.localParticipant.setCameraEnabled(true));
    await take(
      'track_published.json',
      'camera with simulcast, from a browser',
      'track_published',
      (j) => j.track.source === 'CAMERA',
    );
    await page.evaluate(() => (window as any).room.localParticipant.setMicrophoneEnabled(true));
    await take(
      'track_published.microphone.json',
      'microphone, from a browser: `type` is absent, for AUDIO is the zero value',
      'track_published',
      (j) => j.track.source === 'MICROPHONE',
    );

    const bob = await cast.join(ROOM, 'bob');
    await take(
      'participant_joined.plain.json',
      "LiveKit's Rust SDK; no name, metadata or attributes",
      'participant_joined',
      by('bob'),
    );
    const bobCamera = await bob.publish('camera');
    await take(
      'track_published.rust_sdk.json',
      "camera from LiveKit's Rust SDK",
      'track_published',
      (j) => j.track.sid === bobCamera,
    );
    const bobScreen = await bob.publish('screen_share');
    await take(
      'track_published.screen_share.json',
      'a screen share',
      'track_published',
      (j) => j.track.sid === bobScreen,
    );

    const shadow = await cast.join(ROOM, 'shadow', {
      grant: { hidden: true, canPublish: false, canPublishData: false },
    });
    await take(
      'participant_joined.hidden.json',
      'a hidden, subscribe-only observer',
      'participant_joined',
      by('shadow'),
    );
    const agent = await cast.join(ROOM, 'agent-AJ_s8D6f4G2h0Jk', { kind: 'agent', grant: { agent: true } });
    await take('participant_joined.agent.json', 'an agent', 'participant_joined', by('agent-AJ_s8D6f4G2h0Jk'));
    const phone = await cast.join(ROOM, 'sip_+15105550100', {
      kind: 'sip',
      name: 'Phone +15105550100',
      attributes: {
        'sip.callID': 'SCL_fixture00001',
        'sip.callStatus': 'active',
        'sip.phoneNumber': '+15105550100',
        'sip.trunkID': 'ST_fixture00001',
        'sip.trunkPhoneNumber': '+15105550199',
      },
    });
    await take(
      'participant_joined.sip.json',
      'a participant with the kind and attributes of a telephone caller',
      'participant_joined',
      by('sip_+15105550100'),
    );
    const recorder = await cast.join(ROOM, 'EG_wLd88vnXbXYn', {
      kind: 'egress',
      grant: { recorder: true, hidden: true },
    });
    await take(
      'participant_joined.egress.json',
      'a recorder (kind EGRESS, hidden, recorder)',
      'participant_joined',
      by('EG_wLd88vnXbXYn'),
    );

    // A mute is visible only through RoomService. LiveKit's store lags, so ask until it has the mute.
    await page.evaluate(() => (window as any).room.localParticipant.setMicrophoneEnabled(false));
    await until('the mute in ListParticipants', async () =>
      (await livekit.listParticipants(ROOM))
        .find((p) => p.identity === 'alice')
        ?.tracks.some((t: any) => t.source === 'MICROPHONE' && t.muted),
    );
    await until('all counts in ListRooms', async () => (await livekit.listRooms())[0]?.num_publishers === 2);
    await ask('list_rooms.json', 'one live room', 'RoomService/ListRooms', {}, { roomList: true });
    await ask(
      'list_rooms.names.json',
      '`names` with one unknown name',
      'RoomService/ListRooms',
      { names: [ROOM, 'nowhere'] },
      { roomList: true },
    );
    await ask(
      'list_participants.json',
      'a browser with a muted microphone, a Rust SDK, an agent, a caller, a recorder, a hidden observer',
      'RoomService/ListParticipants',
      { room: ROOM },
      admin,
    );
    await ask(
      'get_participant.json',
      'one of them',
      'RoomService/GetParticipant',
      { room: ROOM, identity: 'bob' },
      admin,
    );
    await ask(
      'mute_published_track.json',
      'mutes',
      'RoomService/MutePublishedTrack',
      { room: ROOM, identity: 'bob', track_sid: bobCamera, muted: true },
      admin,
    );
    await ask(
      'update_participant.json',
      'name, metadata, attributes',
      'RoomService/UpdateParticipant',
      { room: ROOM, identity: 'bob', name: 'Bob', metadata: 'm', attributes: { hand: 'up' } },
      admin,
    );
    await ask(
      'update_room_metadata.json',
      '',
      'RoomService/UpdateRoomMetadata',
      { room: ROOM, metadata: '{"tenant":"acme","topic":"plan"}' },
      admin,
    );
    await ask(
      'send_data.json',
      '',
      'RoomService/SendData',
      { room: ROOM, data: 'aGk=', kind: 'RELIABLE', topic: 'chat' },
      admin,
    );

    // Refusals.
    const nowhere = { roomAdmin: true, room: 'nowhere' };
    await ask(
      'list_participants.unknown_room.json',
      'a room that is not there: an empty list, not an error',
      'RoomService/ListParticipants',
      { room: 'nowhere' },
      nowhere,
    );
    await ask(
      'get_participant.not_found.json',
      'no participant with this identity',
      'RoomService/GetParticipant',
      { room: ROOM, identity: 'nobody' },
      admin,
    );
    await ask(
      'remove_participant.not_found.json',
      'no participant with this identity',
      'RoomService/RemoveParticipant',
      { room: ROOM, identity: 'nobody' },
      admin,
    );
    await ask(
      'remove_participant.unknown_room.json',
      'a room that is not there',
      'RoomService/RemoveParticipant',
      { room: 'nowhere', identity: 'nobody' },
      nowhere,
    );
    await ask(
      'mute_published_track.unknown_track.json',
      'no such track',
      'RoomService/MutePublishedTrack',
      { room: ROOM, identity: 'bob', track_sid: 'TR_nothing', muted: true },
      admin,
    );
    await ask(
      'mute_published_track.not_found.json',
      'no participant with this identity',
      'RoomService/MutePublishedTrack',
      { room: ROOM, identity: 'nobody', track_sid: 'TR_nothing', muted: true },
      admin,
    );
    await ask(
      'update_participant.not_found.json',
      'no participant with this identity',
      'RoomService/UpdateParticipant',
      { room: ROOM, identity: 'nobody', metadata: 'm' },
      admin,
    );
    await ask(
      'update_room_metadata.unknown_room.json',
      'a room that is not there',
      'RoomService/UpdateRoomMetadata',
      { room: 'nowhere', metadata: 'm' },
      nowhere,
    );
    await ask(
      'send_data.unknown_room.json',
      'a room that is not there',
      'RoomService/SendData',
      { room: 'nowhere', data: 'aGk=', kind: 'RELIABLE' },
      nowhere,
    );
    await ask(
      'delete_room.unknown_room.json',
      'a room that is not there',
      'RoomService/DeleteRoom',
      { room: 'nowhere' },
      { roomCreate: true },
    );
    await ask(
      'create_room.no_name.json',
      'without a name: LiveKit makes a room whose name is empty',
      'RoomService/CreateRoom',
      {},
      { roomCreate: true },
    );
    await take(
      'room_started.no_name.json',
      'CreateRoom without a name: `room` has no `name`',
      'room_started',
      (j) => !j.room.name,
    );
    await ask('list_egress.no_redis.json', 'a server without Redis', 'Egress/ListEgress', {}, { roomRecord: true });
    await ask(
      'list_ingress.no_redis.json',
      'a server without Redis',
      'Ingress/ListIngress',
      {},
      { ingressAdmin: true },
    );
    await ask(
      'list_rooms.no_grant.json',
      'a token without `roomList`',
      'RoomService/ListRooms',
      {},
      { roomCreate: true },
    );
    await ask(
      'list_participants.other_room.json',
      'a token for another room',
      'RoomService/ListParticipants',
      { room: ROOM },
      nowhere,
    );
    await ask(
      'list_rooms.unknown_key.json',
      'a key the server does not know',
      'RoomService/ListRooms',
      {},
      {},
      await foreign('APIunknownkey00', 'REDACT-ME-another-secret-of-32-bytes-'),
    );
    await ask(
      'list_rooms.wrong_secret.json',
      'a known key with another secret',
      'RoomService/ListRooms',
      {},
      {},
      await foreign(undefined, 'REDACT-ME-another-secret-of-32-bytes-'),
    );
    await ask('list_rooms.no_token.json', '`Authorization: Bearer` and nothing', 'RoomService/ListRooms', {}, {}, '');
    await ask('unknown_method.json', 'no such method', 'RoomService/NoSuchMethod', {}, {});

    // Endings.
    await bob.unpublish(bobScreen);
    await take(
      'track_unpublished.screen_share.json',
      'a screen share ends, its owner stays',
      'track_unpublished',
      (j) => j.track.sid === bobScreen,
    );
    await page.evaluate(async () => {
      const { localParticipant } = (window as any).room;
      for (const { track } of [...localParticipant.trackPublications.values()])
        await localParticipant.unpublishTrack(track);
    });
    await take(
      'track_unpublished.json',
      'microphone of a browser, muted when it ended',
      'track_unpublished',
      (j) => j.track.source === 'MICROPHONE' || j.track.type === undefined,
    );
    await take(
      'track_unpublished.camera.json',
      'camera of a browser',
      'track_unpublished',
      (j) => j.track.source === 'CAMERA',
    );
    await cast.join(ROOM, 'bob', { name: 'Bob again' });
    await take(
      'participant_left.duplicate_identity.json',
      'the same identity joined a second time: the first session ends',
      'participant_left',
      by('bob'),
    );
    await take(
      'participant_joined.duplicate_identity.json',
      'and the second begins, with a new sid',
      'participant_joined',
      by('bob'),
    );
    await livekit.remove(ROOM, 'bob');
    await take('participant_left.participant_removed.json', 'RemoveParticipant', 'participant_left', by('bob'));
    await page.evaluate(() => (window as any).room.disconnect());
    await take('participant_left.json', 'a browser leaves by itself', 'participant_left', by('alice'));
    await shadow.leave();
    await take('participant_left.hidden.json', 'the hidden observer leaves', 'participant_left', by('shadow'));
    await agent.leave();
    await take('participant_left.agent.json', 'the agent leaves', 'participant_left', by('agent-AJ_s8D6f4G2h0Jk'));
    await phone.leave();
    await recorder.leave();

    const mallory = await doomed.join(ROOM, 'mallory');
    const voice = await mallory.publish('microphone');
    await take(
      'track_published.microphone_rust_sdk.json',
      "microphone from LiveKit's Rust SDK",
      'track_published',
      (j) => j.track.sid === voice,
    );
    await doomed.crash();
    await take(
      'participant_left.crash.json',
      "the participant's process was killed while it published",
      'participant_left',
      by('mallory'),
    );

    // A signal connection without a media connection.
    const token = await mint({ roomJoin: true, room: ROOM }, 'carol', { name: 'Carol' });
    await page.evaluate(
      async ([url, jwt]) => {
        const socket = new WebSocket(
          `${url}/rtc?access_token=${jwt}&protocol=15&sdk=js&version=2.0.0&auto_subscribe=1`,
        );
        await new Promise((resolve, reject) => {
          socket.onmessage = resolve;
          socket.onerror = reject;
        });
        socket.close();
      },
      [livekit.wsUrl, token] as const,
    );
    await take(
      'participant_connection_aborted.json',
      'the signal connection closed before any media connection',
      'participant_connection_aborted',
    );

    const last = await cast.join(ROOM, 'alice');
    await last.publish('microphone');
    await until(
      'the last participant in ListRooms',
      async () => (await livekit.listRooms())[0]?.num_participants === 1,
    );
    await ask(
      'delete_room.json',
      'with a participant in it',
      'RoomService/DeleteRoom',
      { room: ROOM },
      { roomCreate: true },
    );
    await take(
      'participant_left.room_deleted.json',
      'DeleteRoom while the participant was there',
      'participant_left',
      (j) => j.participant.disconnectReason === 'ROOM_DELETED',
    );
    await take(
      'room_finished.json',
      'DeleteRoom; counts are from before, `roomEndReason` is not sent by this version',
      'room_finished',
    );

    await livekit.createRoom('brief', { empty_timeout: 1 });
    await take(
      'room_started.minimal.json',
      'CreateRoom with a name and nothing else',
      'room_started',
      (j) => j.room.name === 'brief',
    );
    await take(
      'room_finished.idle.json',
      'no participant joined before `emptyTimeout`',
      'room_finished',
      (j) => j.room.name === 'brief',
    );
    const joiner = await cast.join('adhoc', 'alice');
    await take(
      'room_started.auto.json',
      'a room that came to be by the first join',
      'room_started',
      (j) => j.room.name === 'adhoc',
    );
    await joiner.leave();
    await livekit.deleteRoom('adhoc');
    await livekit.deleteRoom('');
    await take(
      'room_finished.no_name.json',
      'the end of the room without a name',
      'room_finished',
      (j) => !j.room.name,
    );
    const s3 = {
      access_key: 'REDACT-ME-access-key',
      secret: 'REDACT-ME-secret',
      session_token: 'REDACT-ME-session',
      region: 'eu-west-1',
      bucket: 'acme-rec',
    };
    // Room options whose egress cannot start: the event of the failure contains the request with its credentials.
    await livekit.createRoom('recorded', {
      egress: { participant: { file_outputs: [{ filepath: 'p.mp4', s3 }] }, tracks: { filepath: 't-{track_id}', s3 } },
    });
    const recorded = await cast.join('recorded', 'alice');
    await recorded.publish('microphone');
    await take(
      'egress_ended.participant_launch_failed.json',
      'automatic egress of a participant that could not start: no `egressId`, storage credentials in the clear',
      'egress_ended',
      (j) => j.egressInfo.participant,
    );
    await take(
      'egress_ended.track_launch_failed.json',
      'the same for a track',
      'egress_ended',
      (j) => j.egressInfo.track,
    );

    await page.close();
    writeReadmes(received[0]?.headers ?? {});
  } finally {
    await browser.close();
    await theatre.close();
    await cast.stop();
    await doomed.stop();
    await livekit.stop();
    receiver.close();
    receiver.closeAllConnections();
  }
  console.log(
    `\nnot taken: ${
      received
        .filter((r) => !r.taken)
        .map((r) => `${r.event} ${r.json.participant?.identity ?? r.json.room?.name ?? ''}`)
        .join(', ') || 'none'
    }`,
  );
}

async function foreign(key: string | undefined, secret: string): Promise<string> {
  const { AccessToken } = await import('livekit-server-sdk');
  const { API_KEY } = await import('./harness/livekit.js');
  const token = new AccessToken(key ?? API_KEY, secret, { ttl: '10m' });
  token.addGrant({ roomList: true });
  return token.toJwt();
}

/** Fixtures that are constructed and not captured: this server has no egress, ingress or agents without other services. */
const CONSTRUCTED: Record<string, string> = {
  'agent_job_ended.json': 'the same, ended',
  'agent_job_started.json': 'of newer servers and LiveKit Cloud: no `room` beside `job`',
  'egress_ended.all_storages.json': 'every kind of storage credentials in the clear',
  'egress_ended.json': 'the same recording, complete, with its file',
  'egress_started.json':
    'recording of a room to S3; no `status`: EGRESS_STARTING is the zero value; no `room`, as in all egress events of 1.13.5',
  'egress_started.room.json': 'the same from a newer server: `room` with sid and name',
  'egress_updated.json': 'the same recording, active',
  'egress_updated.stream.json': 'a stream to RTMP and SRT, keys in the URLs',
  'ingress_ended.json': 'the same ingress, ended',
  'ingress_started.json': 'an RTMP ingress; carries the `streamKey`; no `room`, as in all ingress events of 1.13.5',
  'ingress_started.room.json': 'the same from a newer server: `room` with only a name',
  'room_finished.room_end_reason.json': 'of newer servers: `roomEndReason`',
};

function writeReadmes(headers: Record<string, unknown>): void {
  const constructed = readdirSync(WEBHOOKS).filter(
    (file) => file.endsWith('.json') && !rows.some((row) => row.file === file),
  );
  for (const file of constructed) {
    JSON.parse(readFileSync(join(WEBHOOKS, file), 'utf8'));
    rows.push({ file, origin: 'constructed', shows: CONSTRUCTED[file] ?? '' });
  }
  rows.sort((a, b) => a.file.localeCompare(b.file));
  writeFileSync(
    join(WEBHOOKS, 'README.md'),
    `# Webhook bodies of LiveKit

One body a file, as it came over the wire: order of keys and spacing untouched; a line feed at the end of the file is ours. Ids and
secrets are replaced by fixed ones of the same length; what is secret starts with \`REDACT-ME\`, so that a test can look for that string on
every way out. \`npm run capture -w e2e\` records the captured ones again, from a real livekit-server with browsers and SDKs as participants.

The request: \`POST\`, \`Content-Type: ${headers['content-type']}\`, \`User-Agent: ${headers['user-agent']}\`,
\`Accept-Encoding: ${headers['accept-encoding']}\`, a \`Content-Length\`, and the token in \`Authorization\` without \`Bearer\`.

| file | origin | shows |
| --- | --- | --- |
${rows.map((row) => `| \`${row.file}\` | *${row.origin}* | ${row.shows} |`).join('\n')}
`,
  );
  answers.sort((a, b) => a.file.localeCompare(b.file));
  writeFileSync(
    join(ROOMSERVICE, 'README.md'),
    `# Answers of LiveKit's RoomService

Twirp over JSON, *${VERSION}*, one body a file, with ids and secrets replaced as in \`../webhooks\`. Answers have snake_case
names and carry zero values, webhooks neither. \`npm run capture -w e2e\` records them again.

| file | status | call |
| --- | --- | --- |
${answers.map((row) => `| \`${row.file}\` | ${row.status} | ${row.shows} |`).join('\n')}
`,
  );
}

await main();
