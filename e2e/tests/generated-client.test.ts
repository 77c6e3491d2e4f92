// Issue 15: a client that openapi-python-client makes from the API document reads every answer as it was sent.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PASSWORD } from '../harness/roomwatch.js';
import { until } from '../harness/wait.js';
import { World } from '../harness/world.js';
import { post } from '../web/post.js';

const ROOM = 'a room / ü';
const python = join(import.meta.dirname, '..', 'python');
const dir = mkdtempSync(join(tmpdir(), 'roomwatch-client-'));
let world: World;

beforeAll(async () => {
  world = await World.start('generated-client');
});
afterAll(async () => {
  await world?.stop();
  rmSync(dir, { recursive: true, force: true });
});

it('a generated client reads every route', async () => {
  const run = (args: string[]) =>
    execFileSync('python3', args, {
      cwd: dir,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, PYTHONPATH: join(dir, 'packages') },
    });
  const pinned = ['--no-deps', '--no-compile', '--requirement', join(python, 'requirements.txt')];
  run(['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--target', 'packages', ...pinned]);
  const document = `${world.roomwatch.url}/api/openapi.json`;
  const into = ['--output-path', 'client', '--meta', 'none'];
  run(['-m', 'openapi_python_client', 'generate', '--url', document, ...into]);

  const cast = await world.cast();
  const alice = await cast.join(ROOM, 'alice', { name: 'Alice', attributes: { hand: 'up' } });
  await alice.publish('microphone');
  const { room, participants } = await until('alice and her track', async () => {
    const now = await world.roomwatch.get(`/api/rooms/${encodeURIComponent(ROOM)}`).catch(() => null);
    return now?.participants[0]?.tracks[0] ? now : undefined;
  });
  // This LiveKit runs without Redis, so it has no egress and no ingress.
  const of = { roomName: ROOM, roomId: room.sid };
  const egress = { egressId: 'EG_1', ...of, status: 'EGRESS_ACTIVE', roomComposite: { fileOutputs: [{}] } };
  const ingress = { ingressId: 'IN_1', ...of, state: { status: 'ENDPOINT_PUBLISHING', roomId: room.sid } };
  await post(world.roomwatch, { event: 'egress_started', id: 'EV_1', egressInfo: egress });
  // Nor a SIP service, nor an agent.
  const ofKind = (kind: string, attributes: Record<string, string>) => ({
    event: 'participant_joined',
    room: { sid: room.sid, name: ROOM },
    participant: { sid: `PA_${kind}`, identity: kind, kind, state: 'ACTIVE', attributes },
  });
  await post(world.roomwatch, ofKind('SIP', { 'sip.phoneNumber': '+491', 'sip.callID': 'SCL_1' }));
  await post(world.roomwatch, ofKind('AGENT', { 'lk.agent.name': 'support' }));
  await post(world.roomwatch, { event: 'ingress_started', id: 'EV_2', ingressInfo: ingress });

  const given = {
    password: PASSWORD,
    room: ROOM,
    identity: 'alice',
    sid: participants[0].tracks[0].sid,
    session: room.sid,
  };
  const read = JSON.parse(run([join(python, 'call.py'), dir, world.roomwatch.url, JSON.stringify(given)]));
  expect(read).toEqual({
    login: '200 the same',
    me: '200 the same',
    projects: '200 the same',
    test_webhook: '200',
    receive: '401',
    events: '200 the same',
    rooms: '200 the same',
    room: '200 the same',
    participants: '200 the same',
    sessions: '200 the same',
    session: '200 the same',
    cloud_sessions: '200 the same',
    cloud_session: '200 the same',
    participant: '200 the same',
    activity: '200 the same',
    search: '200 the same',
    egress: '200 the same',
    calls: '200 the same',
    agents: '200 the same',
    usage: '200 the same',
    create_room: '201 the same',
    update_room: '200 the same',
    update_participant: '200 the same',
    mute_track: '200 the same',
    send_data: '204',
    start_egress: '404 the same',
    stop_egress: '502 the same',
    ingress: '200 the same',
    create_dispatch: '201 the same',
    dispatches: '200 the same',
    delete_dispatch: '404 the same',
    watch_room: '200 the same',
    attention: '200 the same',
    acknowledge: '404 the same',
    unacknowledge: '404 the same',
    audit: '200 the same',
    remove_participant: '204',
    delete_room: '204',
    logout: '200 the same',
  });
  const { paths } = await world.roomwatch.get('/api/openapi.json');
  const operations = Object.values<any>(paths).flatMap((path) =>
    Object.values<any>(path).map((one) => one.operationId),
  );
  expect(Object.keys(read).sort()).toEqual(operations.sort());
});
